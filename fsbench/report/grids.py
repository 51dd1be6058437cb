"""The tables of a report's page: what stands in every cell, how it sorts, and the record that it leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy.typing as npt

from fsbench.records import Record
from fsbench.report.differences import Family, Pair
from fsbench.report.figures import file_name, trace
from fsbench.report.layout import AVERAGE_RANK, LeftOut, Mark, Measured, Name, Rank, lay_out, method_name
from fsbench.report.layout import Entry as LayoutEntry
from fsbench.report.marks import DEVIATES_MARK, PARTIAL_MARK, REDUCED_MARK, track_mark, trained_on
from fsbench.report.published import beside
from fsbench.report.table import Column, Figure, Table
from fsbench.report.wording import listed, signed
from fsbench.stats.intervals import class_mean_ci

__all__ = ["Classes", "Entry", "Grid", "Grids", "matrix"]

Classes: TypeAlias = Mapping[Column, Sequence[npt.ArrayLike] | str]

_NOTHING: Final = "–"
_SIGNS: Final[Mapping[Mark, str]] = {
    "reduced": f"\N{NO-BREAK SPACE}{REDUCED_MARK}",
    "partial": f"\N{NO-BREAK SPACE}{PARTIAL_MARK}",
    "deviates": f"\N{NO-BREAK SPACE}{DEVIATES_MARK}",
    "transductive": "",
}


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
        leads: The address that it leads to: `#` and an id of the page, or another file.
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


_EMPTY: Final = Entry("")


@dataclass(frozen=True)
class Grid:
    """A table of the page: lines that can be sorted, and below them lines that stay."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[tuple[Entry, ...], ...]
    foot: tuple[tuple[Entry, ...], ...] = ()
    apart: int = 0  # so many of the last lines stand below a rule


class Grids:
    """Makes the grids of one table.

    Args:
        table: The table.
        ident: Of its part of the page; the ids of all entries start with it.
        classes: Of every column the classes of its episodes, or why they are not known.
    """

    def __init__(self, table: Table, ident: str, classes: Classes) -> None:
        self._table, self._ident, self._classes = table, ident, classes

    def accuracies(self) -> Iterator[Grid]:
        """The layouts of the table: with several sources one for every way and shot, then the average ranks."""
        for layout in lay_out(self._table, cell_ranks=True, page=True):
            heads = tuple(_name(head) for head in layout.heads)
            lines, foot = (tuple(map(self._entries, part)) for part in (layout.lines, layout.foot))
            apart = 0 if foot else sum(line.transductive for line in self._table.lines)  # a foot: lines are sources
            yield Grid(self._title(layout.title), heads, lines, foot, apart)

    def published(self) -> Grid | None:
        """Published results beside ours, if there are any."""
        lines = tuple(
            (
                Entry(_name(method_name(match.line)), kind="name"),
                Entry(str(match.column), kind="text"),
                replace(self._accuracy(Measured(match.line, match.column, match.figure)), mark=""),
                Entry(match.published.figure, sort=float(match.published.mean)),
                Entry(signed(match.difference), sort=match.difference),
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
                Entry(line.name, kind="name", ident=self._id(record)),
                Entry(str(column), kind="text"),
                _count(record.identity.train_seed),
                Entry(f"{record.mean:.2f}", f"± {record.ci95:.2f}", sort=record.mean),
                *self._over_seeds(figure),
                *self._over_classes(record, column),
                *_facts(record),
            )
            for line in self._table.lines
            for column, figure in zip(self._table.columns, line.figures, strict=True)
            if figure is not None
            for record in figure.records
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

    def _over_seeds(self, figure: Figure) -> Iterator[Entry]:
        if self._table.several_seeds:
            found = figure.over_seeds
            yield (
                Entry(_NOTHING, title="one training seed")
                if found is None
                else Entry(f"{found.mean:.2f}", f"± {found.half_width:.2f} ({figure.spread:.2f})", sort=found.mean)
            )

    def _over_classes(self, record: Record, column: Column) -> Iterator[Entry]:
        if self.classes_known:
            yield _over_classes(record, self._classes[column])

    def _title(self, title: str) -> str:
        if title == AVERAGE_RANK:
            return "Average rank over all ways and shots"
        return f"Accuracy, {title}, percent" if title else f"Accuracy on {listed(self._table.sources)}, percent"

    def _entries(self, line: Sequence[LayoutEntry]) -> tuple[Entry, ...]:
        return tuple(self._entry(entry, first=index == 0) for index, entry in enumerate(line))

    def _entry(self, entry: LayoutEntry, *, first: bool) -> Entry:
        if isinstance(entry, Name):
            return Entry(_name(entry), kind="name" if first else "text")
        if isinstance(entry, Rank):
            return Entry(str(entry) or _NOTHING, sort=entry.value)
        if isinstance(entry, LeftOut):
            return self._nothing(f"{entry.source} was left out: {entry.reason}")
        return self._accuracy(entry)

    def _accuracy(self, entry: Measured) -> Entry:
        if (figure := entry.figure) is None:
            return self._nothing(f"no finished record of {entry.line.name} on {entry.column}")
        spread = "" if figure.spread is None else f" ({figure.spread:.2f})"
        return Entry(
            f"{figure.mean:.2f}",
            f"± {figure.ci95:.2f}{spread}{track_mark(figure)}",
            f"rank {figure.rank:.1f}" if entry.with_rank and figure.rank is not None else "",
            sort=figure.mean,
            mark="best" if figure.best else "",
            title=trace(figure),
            leads=f"#{self._id(figure.records[0])}",
        )

    def _nothing(self, reason: str) -> Entry:
        return Entry(_NOTHING, title=reason, leads=f"#{self._ident}-protocol")

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
    """All pairs of a family, each once: the method of the line minus that of the column."""
    figures = {pair[:2]: _difference(pair) for pair in family.pairs}
    lines = (
        (Entry(line, kind="name"), *(figures.get((line, other), _EMPTY) for other in family.methods[1:]))
        for line in family.methods[:-1]
    )
    title = f"Differences, {family.place}, {family.setting}"
    return Grid(title, ("Method", *family.methods[1:]), tuple(lines))


def _difference(pair: Pair) -> Entry:
    return Entry(
        signed(pair.difference),
        below=f"± {pair.ci95:.2f}",
        sort=pair.difference,
        mark=("ahead" if pair.difference > 0 else "behind") if pair.significant else "",
        title=f"{pair.method} minus {pair.other}: p = {pair.p:.2g}; Holm-corrected {pair.p_holm:.2g}",
    )


def _facts(record: Record) -> Iterator[Entry]:
    identity, training = record.identity, record.training
    yield Entry(trained_on(record), kind="text")
    if training.best_accuracy is None:
        yield from [Entry(_NOTHING, title="it was not trained here")] * 3
    else:
        yield Entry(f"{training.steps:,}", f"of {training.planned_steps:,}", sort=training.steps)
        yield _count(training.best_step)
        yield Entry(f"{training.best_accuracy:.2f}", sort=training.best_accuracy)
    yield _count(training.parameters)
    yield Entry(record.environment.device, kind="text")
    for digest in (record.environment.commit, identity.episode_set, identity.pack):
        yield Entry((digest or "not recorded")[:12], kind="code", title=digest or "")
    yield Entry(file_name(record), kind="code")


def _name(name: Name) -> str:
    backbone = f", {name.backbone}" if name.backbone else ""
    return name.text + "".join(_SIGNS[mark] for mark in name.marks) + backbone


def _count(number: int) -> Entry:
    return Entry(f"{number:,}", sort=number)
