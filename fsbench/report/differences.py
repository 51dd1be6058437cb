"""Paired differences between all methods of a table: on every column, and over the sources of every way and shot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fsbench.records import Record, Track
from fsbench.report.csv import to_csv
from fsbench.report.table import Column, Table
from fsbench.report.wording import steady
from fsbench.stats.paired import SIGNIFICANCE, mean_difference, pairwise_differences

__all__ = ["ALL_SOURCES", "DIFFERENCE_COLUMNS", "Family", "Pair", "differences", "differences_to_csv"]

DIFFERENCE_COLUMNS: Final = (
    "method",
    "other",
    "test_source",
    "way",
    "shot",
    "difference",
    "ci95",
    "p",
    "p_holm",
    "significant",
)
ALL_SOURCES: Final = "all sources"


class Pair(NamedTuple):
    """Two methods on the same episodes.

    Attributes:
        method: The name of its row.
        other: The same of the one that it is compared with.
        difference: Mean accuracy of the method minus that of the other, percentage points.
        ci95: Half width of its 95 % confidence interval, not corrected for other comparisons, percentage points.
        p: Two-sided, of no difference.
        p_holm: The same by Holm's method over all pairs of the family.
        significant: Whether `p_holm` is at most 5 %.
    """

    method: str
    other: str
    difference: float
    ci95: float
    p: float
    p_holm: float
    significant: bool


@dataclass(frozen=True)
class Family:
    """All pairs of the methods that are compared on the same columns; their p values are corrected together.

    Attributes:
        columns: All of one way and shot: one of them, or those of several sources, each of which counts the same.
        methods: The names of two or more inductive rows, in the table's order.
        pairs: Every two of them once, in the same order.
        tracks: Of the columns, the same for all methods.
    """

    columns: tuple[Column, ...]
    methods: tuple[str, ...]
    pairs: tuple[Pair, ...]
    tracks: tuple[Track, ...]

    @property
    def setting(self) -> str:
        """Way and shot, in words."""
        return self.columns[0].setting

    @property
    def place(self) -> str:
        """The test source or all of them, and where it is not A the track, in words."""
        tracks = sorted({*self.tracks})
        track = "" if tracks == ["A"] else f", track {' and '.join(tracks)}"
        return (self.source or ALL_SOURCES) + track

    @property
    def source(self) -> str | None:
        """The test source; None: over several."""
        return self.columns[0].source if len(self.columns) == 1 else None


def differences(table: Table) -> list[Family]:
    """Compare the inductive rows of a table with each other, those of one track at a time, by `fsbench.stats.paired`.

    Of every way and shot first over its sources where it has several, among the rows without a gap there, then on
    every column among those that it has. Where fewer than two rows are left, there is nothing to compare. On a column
    the significance is that of its bold figures.
    """
    return [family for setting in table.settings for family in _of_setting(table, setting)]


def differences_to_csv(table: Table) -> str:
    """Write `DIFFERENCE_COLUMNS` of every pair of `differences`, a line each.

    Over the sources of a way and shot `test_source` is `ALL_SOURCES`; way and shot are empty where they vary.
    """
    lines = (
        (*pair[:2], *_place(family), *pair[2:6], str(pair.significant).lower())
        for family in differences(table)
        for pair in family.pairs
    )
    return to_csv(DIFFERENCE_COLUMNS, lines)


def _place(family: Family) -> tuple[str, int | None, int | None]:
    """What stands in the columns of source, way and shot."""
    return family.source or ALL_SOURCES, family.columns[0].way, family.columns[0].shot


def _of_setting(table: Table, setting: str) -> Iterator[Family]:
    indices = [index for index, column in enumerate(table.columns) if column.setting == setting]
    columns = tuple(table.columns[index] for index in indices)
    if len(columns) > 1:
        for complete in table.comparable(setting):
            yield from _family(
                columns, {name: [figure.records for figure in figures] for name, figures in complete.items()}
            )
    for index, column in zip(indices, columns, strict=True):
        groups: dict[Track, dict[str, list[tuple[Record, ...]]]] = {}
        for line in table.lines:
            if not line.transductive and (figure := line.figures[index]) is not None:
                groups.setdefault(figure.track, {})[line.name] = [figure.records]
        for group in groups.values():
            yield from _family((column,), group)


def _family(columns: tuple[Column, ...], methods: Mapping[str, Sequence[Sequence[Record]]]) -> Iterator[Family]:
    if len(methods) > 1:
        pairs = tuple(
            Pair(
                method,
                other,
                difference=round(found.mean, 6) + 0.0,  # not −0.0
                ci95=round(found.half_width, 6),
                p=steady(mean_difference(zip(methods[method], methods[other], strict=True)).p_value, 6),
                p_holm=steady(found.p_value, 6),
                significant=found.p_value <= SIGNIFICANCE,
            )
            for (method, other), found in pairwise_differences(methods).items()
        )
        tracks = tuple(records[0].track for records in next(iter(methods.values())))
        yield Family(columns, tuple(methods), pairs, tracks)
