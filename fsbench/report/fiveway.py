"""The five-way table of the field's lectures: five methods on miniImageNet and tieredImageNet, as published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fsbench.published.results import Reported

__all__ = ["FIVE_WAY", "five_way_page"]

FIVE_WAY: Final = "five-way"  # what the command calls it
_METHODS: Final = ("MAML", "ProtoNet", "RelationNet", "LEO", "MetaOptNet-SVM")
_SUITES: Final = ("tieredimagenet", "miniimagenet")
_SHOTS: Final = (1, 5)
_NOTE: Final = (
    "A well-known lecture shows the tieredImageNet figures under the title MiniImageNet; the figures of miniImageNet "
    "stand beside them. Backbones differ from method to method, and some from one data set to the other."
)


def five_way_page() -> Iterator[str]:
    """The paragraphs of the page: a table with a line for every method, and the sources of every column."""
    from tabulate import tabulate

    from fsbench.published.results import MARKS

    columns = [(suite, shot) for suite in _SUITES for shot in _SHOTS]
    found = {method: [_first(suite, method, shot) for suite, shot in columns] for method in _METHODS}
    yield "5-way: published accuracies, percent ± 95 % confidence interval"
    yield _NOTE
    heads = ["method", *(f"{suite}\n{shot}-shot" for suite, shot in columns)]
    rows = [[method, *(f"{one.figure} {one.marks}".rstrip() for one in found[method])] for method in _METHODS]
    yield tabulate(rows, headers=heads, tablefmt="simple", disable_numparse=True)
    results = sorted((one for line in found.values() for one in line), key=lambda one: _SUITES.index(one.suite))
    used = "".join(one.marks for one in results)
    yield "\n".join(f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in used)
    sources = dict.fromkeys(f"  {one.suite}, {one.method}, {one.backbone}: {one.reference}" for one in results)
    yield "\n".join(["sources", *sources])


def _first(suite: str, method: str, shot: int) -> Reported:
    """The figure of the paper that the method, or the table, is from: the first in the file."""
    from fsbench.published.results import load_reported

    wanted = (method, 5, shot)
    return next(result for result in load_reported(suite) if (result.method, result.way, result.shot) == wanted)
