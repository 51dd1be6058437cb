"""The tables of a report's page: what stands in every cell, how it sorts, and the record that it leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy.typing as npt

from fsbench.records import Record
from fsbench.report.differences import ALL_SOURCES, Family, Pair
from fsbench.report.figures import file_name, trace
from fsbench.report.footnote import PARTIAL_MARK, REDUCED_MARK, listed
from fsbench.report.published import beside
from fsbench.report.table import Cell, Column, Row, Table
from fsbench.stats.intervals import class_mean_ci

__all__ = ["Classes", "Entry", "Grid", "Grids", "Line", "matrix"]

Classes: TypeAlias = Mapping[Column, Sequence[npt.ArrayLike] | str]

_NOTHING: Final = "–"
_REDUCED: Final = f"\N{NO-BREAK SPACE}{REDUCED_MARK}"
_PARTIAL: Final = f"\N{NO-BREAK SPACE}{PARTIAL_MARK}"


@dataclass(frozen=True)
class Entry:
    """A cell of a grid.

    Attributes:
        text: What it says first.
        small: What follows in smaller letters, as the interval.
        below: What stands below, as the rank.
        kind: "name" heads its line; "number" is aligned right, "text" left; "code" is a file's name or a hash.
        sort: What a number sorts by; None: last. The others sort by their text.
        mark: "best": the best, or not significantly worse; "ahead", "behind": a significant difference.
        title: Where it comes from, or why there is nothing.
        leads: The id that it leads to.
        ident: Its own id.
    """

    text: str
    small: str = ""
    below: str = ""
    kind: Literal["name", "number", "text", "code"] = "number"
    sort: float | None = None
    mark: Literal["", "best", "ahead", "behind"] = ""
    title: str = ""
    leads: str = ""
    ident: str = ""


Line: TypeAlias = tuple[Entry, ...]

_SELF: Final = Entry("", sort=0.0)


@dataclass(frozen=True)
class Grid:
    """A table of the page: lines that can be sorted, and below them lines that stay."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    foot: tuple[Line, ...] = ()


class Grids:
    """Makes the grids of one table.

    Args:
        table: The table.
        ident: Of its part of the page; the ids of all entries start with it.
        classes: Of every column the classes of its episodes, or why they are not known.
    """

    def __init__(self, table: Table, ident: str, classes: Classes) -> None:
        self._table, self._ident, self._classes = table, ident, classes
        self._backbones = len({row.backbone for row in table.rows}) > 1  # otherwise the page says it once
        self._heads = ("Method", "Backbone") if self._backbones else ("Method",)

    def accuracies(self) -> Iterator[Grid]:
        """One source: all in one grid. Several: a source a line for every way and shot, then the average ranks."""
        table = self._table
        if not table.by_source:
            yield self._compact()
            return
        for setting in table.settings:
            yield self._by_source(setting)
        if len(table.settings) > 1:
            lines = ((*self._who(row), _rank(row.average_rank, 2)) for row in table.rows)
            yield Grid("Average rank over all ways and shots", (*self._heads, "average rank"), tuple(lines))

    def published(self) -> Grid | None:
        """Published results beside ours, if there are any."""
        lines = tuple(
            (
                _name(match.row),
                Entry(str(match.column), kind="text"),
                replace(self._figure(match.row, match.column, match.cell), mark=""),
                Entry(match.published.figure, sort=float(match.published.mean)),
                Entry(_signed(match.difference), sort=match.difference),
                Entry({True: "yes", False: "no", None: _NOTHING}[match.inside], kind="text"),
                Entry(f"{match.published.method}, {match.published.backbone}", kind="text"),
                Entry("yes" if match.published.transductive else "no", kind="text"),
                Entry(match.published.reference, kind="text"),
            )
            for match in beside(self._table)
        )
        heads = ("Method", "Measured on", "Ours", "Published", "Difference", "Inside")
        return (
            Grid("Published results beside ours", (*heads, "Published as", "Transductive", "Source"), lines)
            if lines
            else None
        )

    def records(self) -> Grid:
        """Every record, which the figures of the other grids lead to, with the intervals over seeds and classes."""
        lines = tuple(
            (
                Entry(row.name, kind="name", ident=self._id(record)),
                Entry(str(column), kind="text"),
                _count(record.identity.train_seed),
                Entry(f"{record.mean:.2f}", f"± {record.ci95:.2f}", sort=record.mean),
                *self._over_seeds(cell),
                *self._over_classes(record, column),
                *_facts(record),
            )
            for row in self._table.rows
            for column, cell in zip(self._table.columns, row.cells, strict=True)
            if cell is not None
            for record in cell.records
        )
        seeds = ("Over seeds",) if self._table.several_seeds else ()
        accuracy = ("Seed", "Accuracy", *seeds, *(("Over classes",) if self.classes_known else ()))
        training = ("Trained on", "Steps", "Kept step", "Validation", "Parameters")
        origin = ("Device", "Commit", "Episode set", "Pack", "Record")
        return Grid("Records", ("Method", "Measured on", *accuracy, *training, *origin), lines)

    @property
    def classes_known(self) -> bool:
        """Whether the records of a column can have an interval over classes."""
        return any(not isinstance(found, str) for found in self._classes.values())

    def _over_seeds(self, cell: Cell) -> Iterator[Entry]:
        if self._table.several_seeds:
            found = cell.over_seeds
            yield (
                Entry(_NOTHING, title="one training seed")
                if found is None
                else Entry(f"{found.mean:.2f}", f"± {found.half_width:.2f} ({cell.spread:.2f})", sort=found.mean)
            )

    def _over_classes(self, record: Record, column: Column) -> Iterator[Entry]:
        if self.classes_known:
            yield _over_classes(record, self._classes[column])

    def _compact(self) -> Grid:
        table = self._table
        titles = [title for column in table.columns for title in (column.setting, "rank")]
        lines = []
        for row in table.rows:
            figures = [
                entry
                for column, cell in zip(table.columns, row.cells, strict=True)
                for entry in (self._figure(row, column, cell), _rank(None if cell is None else cell.rank, 1))
            ]
            lines.append((*self._who(row), *figures, _rank(row.average_rank, 2)))
        return Grid(
            f"Accuracy on {listed(table.sources)}, percent", (*self._heads, *titles, "average rank"), tuple(lines)
        )

    def _by_source(self, setting: str) -> Grid:
        table = self._table
        heads = (f"{_marked(row)}, {row.backbone}" if self._backbones else _marked(row) for row in table.rows)
        lines = []
        for place, column in enumerate(table.columns):
            if column.setting == setting:
                name = Entry(f"{column.source}{_PARTIAL}" if column.partial else column.source, kind="name")
                lines.append((name, *(self._figure(row, column, row.cells[place], ranks=True) for row in table.rows)))
        for source, reason in table.absent.items():
            missing = self._nothing(f"{source} was left out: {reason}")
            lines.append((Entry(source, kind="name"), *(missing for _ in table.rows)))
        averages = (_rank(row.setting_ranks.get(setting), 2) for row in table.rows)
        foot = (Entry("average rank", kind="name"), *averages)
        return Grid(f"Accuracy, {setting}, percent", ("Test source", *heads), tuple(lines), (foot,))

    def _who(self, row: Row) -> Line:
        return (_name(row), Entry(row.backbone, kind="text")) if self._backbones else (_name(row),)

    def _figure(self, row: Row, column: Column, cell: Cell | None, *, ranks: bool = False) -> Entry:
        if cell is None:
            return self._nothing(f"no finished record of {row.name} on {column}")
        spread = "" if cell.spread is None else f" ({cell.spread:.2f})"
        return Entry(
            f"{cell.mean:.2f}",
            f"± {cell.ci95:.2f}{spread}",
            f"rank {cell.rank:.1f}" if ranks and cell.rank is not None else "",
            sort=cell.mean,
            mark="best" if cell.best else "",
            title=trace(cell),
            leads=self._id(cell.records[0]),
        )

    def _nothing(self, reason: str) -> Entry:
        return Entry(_NOTHING, title=reason, leads=f"{self._ident}-protocol")

    def _id(self, record: Record) -> str:
        return f"{self._ident}-{record.cell[:12]}"


def _over_classes(record: Record, classes: Sequence[npt.ArrayLike] | str) -> Entry:
    if isinstance(classes, str):
        return Entry(_NOTHING, title=classes)
    try:
        half_width = class_mean_ci(record.accuracies.tolist(), classes).half_width
    except ValueError as error:
        return Entry(_NOTHING, title=str(error))
    return Entry(f"± {half_width:.2f}", sort=half_width)


def matrix(family: Family) -> Grid:
    """All pairs of a family: the method of the line minus that of the column."""
    turned = (pair._replace(method=pair.other, other=pair.method, difference=-pair.difference) for pair in family.pairs)
    figures = {pair[:2]: _difference(pair) for pair in (*family.pairs, *turned)}
    lines = (
        (Entry(line, kind="name"), *(figures.get((line, other), _SELF) for other in family.methods))
        for line in family.methods
    )
    return Grid(
        f"Differences, {family.source or ALL_SOURCES}, {family.setting}", ("Method", *family.methods), tuple(lines)
    )


def _difference(pair: Pair) -> Entry:
    return Entry(
        _signed(pair.difference),
        below=f"± {pair.ci95:.2f}",
        sort=pair.difference,
        mark=("ahead" if pair.difference > 0 else "behind") if pair.significant else "",
        title=f"{pair.method} minus {pair.other}: p = {pair.p:.2g}; Holm-corrected {pair.p_holm:.2g}",
    )


def _facts(record: Record) -> Iterator[Entry]:
    identity, training = record.identity, record.training
    yield Entry(listed(identity.train_sources), kind="text")
    yield Entry(f"{training.steps:,}", f"of {training.planned_steps:,}", sort=training.steps)
    yield _count(training.best_step)
    yield Entry(f"{training.best_accuracy:.2f}", sort=training.best_accuracy)
    yield _count(training.parameters)
    yield Entry(record.environment.device, kind="text")
    for digest in (record.environment.commit, identity.episode_set, identity.pack):
        yield Entry((digest or "not recorded")[:12], kind="code", title=digest or "")
    yield Entry(file_name(record), kind="code")


def _name(row: Row) -> Entry:
    return Entry(_marked(row), kind="name")


def _marked(row: Row) -> str:
    return f"{row.name}{_REDUCED}" if row.reduced else row.name


def _signed(points: float) -> str:
    """A difference with its sign."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")


def _count(number: int) -> Entry:
    return Entry(f"{number:,}", sort=number)


def _rank(rank: float | None, decimals: int) -> Entry:
    return Entry(_NOTHING if rank is None else f"{rank:.{decimals}f}", sort=rank)
