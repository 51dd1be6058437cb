"""Published results beside ours: which of them measure what a cell of a table measures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fsbench.published.results import Reported, load_reported
from fsbench.report.table import Column, Figure, Line, Table

__all__ = ["PUBLISHED_AS", "Match", "beside"]

_FIVE_WAYS = ("ProtoNet (5-way training)", "ProtoNet (CloserLook)")
_RELATION = ("RelationNet", "RelationNet (CloserLook)")
_FIRST_ORDER = ("fo-MAML", "fo-MAML (transductive)", "fo-MAML (re-impl.)")
_SECOND_ORDER = ("MAML", "MAML (CloserLook)", "MAML (re-impl.)", "MAML (re-run of cbfinn/maml)")

# The method of a row, or the row itself, to the names under which it was published: other distances are other methods,
# and a row that is trained on 5 ways stands beside figures of such trainings alone.
PUBLISHED_AS = {
    "knn": ("k-NN",),
    "finetune": ("Finetune", "Baseline", "Baseline (CloserLook)"),
    "finetune-all": (),
    "simpleshot": (),
    "logistic": (),
    "logistic-ensemble": (),
    "ridge": (),
    "cosine": (),
    "matching": ("MatchingNet", "MatchingNet (CloserLook)", "MatchingNet cosine (re-impl.)"),
    "proto": ("ProtoNet", "ProtoNet (re-impl.)", "ProtoNet (pretrained start)", *_FIVE_WAYS),
    "proto-5way": ("ProtoNet (trained 5-way 1-shot)", "ProtoNet (trained 5-way 5-shot)", *_FIVE_WAYS),
    "relation": _RELATION,
    "relation-transductive": _RELATION,
    "fomaml": _FIRST_ORDER,
    "fomaml-transductive": _FIRST_ORDER,
    "foprotomaml": ("fo-Proto-MAML",),
    "maml": _SECOND_ORDER,
    "maml-transductive": _SECOND_ORDER,
    "anil": ("ANIL", "ANIL (re-impl.)"),
    "r2d2": ("R2-D2", "R2-D2 (re-impl.)"),
    "metaoptnet-ridge": ("MetaOptNet-RR",),
    "metaoptnet-svm": ("MetaOptNet-SVM", "MetaOptNet-SVM (user re-run)"),
    "leo": ("LEO", "LEO (code)", "LEO (re-impl.)", "LEO (user re-run)"),
    "siamese": ("Siamese",),
}


@dataclass(frozen=True)
class Match:
    """A cell of ours and a published figure of the same method, sources, way and shot."""

    line: Line
    column: Column
    figure: Figure
    published: Reported

    @property
    def difference(self) -> float:
        """Ours minus the published mean, percentage points."""
        return round(self.figure.mean - float(self.published.mean), 6)

    @property
    def inside(self) -> bool | None:
        """Whether our mean lies in the published 95 % interval; None where none was printed."""
        ci95 = self.published.ci95
        return None if ci95 is None else abs(self.difference) <= float(ci95)


def beside(table: Table) -> tuple[Match, ...]:
    """The published figures that belong beside a table's cells, by row, column and the order of their files.

    Of a cell's figures, those with the row's kind of backbone stand beside it, and only where there are none
    those with other ones. Transductive figures stand beside the transductive row of their method, and inductive
    ones beside the inductive row, where the table has it.
    """
    measured = [list(_measured(column)) for column in table.columns]
    return tuple(
        Match(line, column, figure, published)
        for line in table.lines
        for column, figure, results in zip(table.columns, line.figures, measured, strict=True)
        if figure is not None
        for published in _nearest(line, [found for found in results if _belongs(found, line, figure, table)])
    )


def _measured(column: Column) -> Iterator[Reported]:
    """What was published of the same test source, way and shot."""
    for result in load_reported():
        same = (result.test_source, result.way, result.shot) == (column.source, column.way, column.shot)
        if same and column.split == "test":
            yield result


def _belongs(result: Reported, line: Line, figure: Figure, table: Table) -> bool:
    """Whether a result is of the row's method and training sources, and of no other row rather than of this one."""
    if result.method not in _names(line) or {*result.train_sources} != {*figure.records[0].identity.train_sources}:
        return False
    kinds = {other.transductive for other in table.lines if _names(other) == _names(line)}
    return line.transductive == result.transductive or result.transductive not in kinds


def _names(line: Line) -> tuple[str, ...]:
    identity = line.records[0].identity
    return PUBLISHED_AS.get(identity.row, PUBLISHED_AS.get(identity.method, ()))


def _nearest(line: Line, results: list[Reported]) -> list[Reported]:
    alike = [result for result in results if _kind(result.backbone) == _kind(line.backbone)]
    return alike or results


def _kind(backbone: str) -> str:
    """What kind of network a backbone is, however wide: "Conv4-64 (strided)", "Conv64F" and "Conv4" are one."""
    (name,) = re.findall(r"^[^\s(]*", backbone.casefold())
    return "conv4" if name.startswith(("conv4", "conv64f")) else name
