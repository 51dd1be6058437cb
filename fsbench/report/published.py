"""Published results beside ours: which of them measure what a cell of a table measures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fsbench.published.results import Reported, load_reported
from fsbench.report.table import Cell, Column, Row, Table

__all__ = ["PUBLISHED_AS", "Match", "beside"]

_RELATION = ("RelationNet", "RelationNet (CloserLook)")
_FIRST_ORDER = ("fo-MAML", "fo-MAML (transductive)", "fo-MAML (re-impl.)")

# The method of a row to the names under which it was published: other distances, trainings of another way and
# second-order gradients are other methods.
PUBLISHED_AS = {
    "knn": ("k-NN",),
    "finetune": ("Finetune", "Baseline", "Baseline (CloserLook)"),
    "matching": ("MatchingNet", "MatchingNet (CloserLook)", "MatchingNet cosine (re-impl.)"),
    "proto": ("ProtoNet", "ProtoNet (CloserLook)", "ProtoNet (re-impl.)"),
    "relation": _RELATION,
    "relation-transductive": _RELATION,
    "fomaml": _FIRST_ORDER,
    "fomaml-transductive": _FIRST_ORDER,
    "foprotomaml": ("fo-Proto-MAML",),
}


@dataclass(frozen=True)
class Match:
    """A cell of ours and a published figure of the same method, sources, way and shot."""

    row: Row
    column: Column
    cell: Cell
    published: Reported

    @property
    def difference(self) -> float:
        """Ours minus the published mean, percentage points."""
        return round(self.cell.mean - float(self.published.mean), 6)

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
        Match(row, column, cell, published)
        for row in table.rows
        for column, cell, results in zip(table.columns, row.cells, measured, strict=True)
        if cell is not None
        for published in _nearest(row, [found for found in results if _belongs(found, row, cell, table)])
    )


def _measured(column: Column) -> Iterator[Reported]:
    """What was published of the same test source, way and shot."""
    for result in load_reported():
        same = (result.test_source, result.way, result.shot) == (column.source, column.way, column.shot)
        if same and column.split == "test":
            yield result


def _belongs(result: Reported, row: Row, cell: Cell, table: Table) -> bool:
    """Whether a result is of the row's method and training sources, and of no other row rather than of this one."""
    if result.method not in _names(row) or {*result.train_sources} != {*cell.records[0].identity.train_sources}:
        return False
    kinds = {other.transductive for other in table.rows if _names(other) == _names(row)}
    return row.transductive == result.transductive or result.transductive not in kinds


def _names(row: Row) -> tuple[str, ...]:
    return PUBLISHED_AS.get(row.records[0].identity.method, ())


def _nearest(row: Row, results: list[Reported]) -> list[Reported]:
    alike = [result for result in results if _kind(result.backbone) == _kind(row.backbone)]
    return alike or results


def _kind(backbone: str) -> str:
    """What kind of network a backbone is, however wide: "Conv4-64 (strided)", "Conv64F" and "Conv4" are one."""
    (name,) = re.findall(r"^[^\s(]*", backbone.casefold())
    return "conv4" if name.startswith(("conv4", "conv64f")) else name
