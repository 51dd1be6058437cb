"""How a table is laid out: heads, typed entries and a foot, the same for every format, which only spells them.

One test source gives one layout with all ways and shots, a method a line. Several give one layout for every way and
shot as in the Meta-Dataset paper, a source a line and a method a column, and one of average ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from fsbench.report.table import Column, Figure, Line, Table

__all__ = ["AVERAGE_RANK", "Entry", "Layout", "LeftOut", "Mark", "Measured", "Name", "Rank", "lay_out", "method_name"]

AVERAGE_RANK: Final = "average rank"

Mark: TypeAlias = Literal["reduced", "partial", "deviates", "transductive"]


class Name(NamedTuple):
    """A text that names a line or a column.

    Attributes:
        text: The name.
        marks: What every format shows behind it by a sign of its own, or not at all.
        backbone: What follows the marks after a comma, where methods with several backbones stand side by side.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    backbone: str = ""


class Measured(NamedTuple):
    """A figure of the table; `figure` is None where there is no record, and `with_rank` asks for the rank beside it."""

    line: Line
    column: Column
    figure: Figure | None
    with_rank: bool = False


class LeftOut(NamedTuple):
    """A place without a figure because the source was left out of the run."""

    source: str
    reason: str


class Rank(NamedTuple):
    """A rank or an average rank, and the decimals that it is printed with; None: not ranked."""

    value: float | None
    decimals: int

    def __str__(self) -> str:
        return "" if self.value is None else f"{self.value:.{self.decimals}f}"


Entry: TypeAlias = Name | Measured | LeftOut | Rank


@dataclass(frozen=True)
class Layout:
    """One printed table.

    Attributes:
        title: The way and shot, `AVERAGE_RANK`, or empty where one layout holds the whole table.
        heads: One for every entry of a line.
        lines: One or more lines of equally many entries.
        foot: Lines that stay below the others.
    """

    title: str
    heads: tuple[Name, ...]
    lines: tuple[tuple[Entry, ...], ...]
    foot: tuple[tuple[Entry, ...], ...] = ()

    @property
    def columns(self) -> list[tuple[Entry, ...]]:
        """The entries of the lines and of the foot below every head."""
        return list(zip(*self.lines, *self.foot, strict=True))


def lay_out(table: Table, *, cell_ranks: bool = False, page: bool = False) -> tuple[Layout, ...]:
    """Lay a table out.

    Args:
        table: The table.
        cell_ranks: With several test sources, ask for the rank beside every figure; with one it has its own column.
        page: For a page that says above its tables what they share: name backbones only where there are several,
            and name every way.
    """
    several_backbones = len({line.backbone for line in table.lines}) > 1
    with_backbone = several_backbones or not page
    if not table.by_source:
        return (_compact(table, with_backbone, name_way=page),)
    layouts = [_by_source(table, setting, cell_ranks, several_backbones) for setting in table.settings]
    if len(table.settings) > 1:
        track = (Name("track"),) if table.external else ()
        lines: list[tuple[Entry, ...]] = [
            (*_method(line, with_backbone), *(Name(", ".join(line.tracks)) for _ in track), Rank(line.average_rank, 2))
            for line in table.lines
        ]
        layouts.append(Layout(AVERAGE_RANK, (*_method_heads(with_backbone), *track, Name(AVERAGE_RANK)), tuple(lines)))
    return tuple(layouts)


def _compact(table: Table, with_backbone: bool, name_way: bool) -> Layout:
    name_way = name_way or len({column.way for column in table.columns}) > 1
    heads = list(_method_heads(with_backbone))
    for column in table.columns:
        heads += [Name(column.setting if name_way or column.way is None else f"{column.shot}-shot"), Name("rank")]
    lines = tuple(_compact_line(table, line, with_backbone) for line in table.lines)
    return Layout("", (*heads, Name(AVERAGE_RANK)), lines)


def _compact_line(table: Table, line: Line, with_backbone: bool) -> tuple[Entry, ...]:
    entries: list[Entry] = [*_method(line, with_backbone)]
    for column, figure in zip(table.columns, line.figures, strict=True):
        entries += [Measured(line, column, figure), Rank(figure.rank if figure else None, 1)]
    return (*entries, Rank(line.average_rank, 2))


def _by_source(table: Table, setting: str, cell_ranks: bool, several_backbones: bool) -> Layout:
    """The figures of one way and shot, then a line for every source left out, then the average ranks."""
    methods = (method_name(line, line.backbone if several_backbones else "") for line in table.lines)
    lines: list[tuple[Entry, ...]] = []
    for index, column in enumerate(table.columns):
        if column.setting == setting:
            figures = (Measured(line, column, line.figures[index], cell_ranks) for line in table.lines)
            lines.append((Name(column.source, ("partial",) if column.partial else ()), *figures))
    for source, reason in table.left_out.items():
        lines.append((Name(source), *(LeftOut(source, reason) for _ in table.lines)))
    averages = (Rank(line.setting_ranks.get(setting), 2) for line in table.lines)
    return Layout(setting, (Name("Test source"), *methods), tuple(lines), ((Name(AVERAGE_RANK), *averages),))


def _method_heads(with_backbone: bool) -> Iterator[Name]:
    yield Name("Method")
    if with_backbone:
        yield Name("Backbone")


def method_name(line: Line, backbone: str = "") -> Name:
    """The name of a line with its marks."""
    marks: dict[Mark, bool] = {
        "reduced": line.reduced,
        "deviates": bool(line.deviates),
        "transductive": line.transductive,
    }
    unsaid = "" if line.name.endswith(f"({backbone})") else backbone
    return Name(line.name, tuple(mark for mark, holds in marks.items() if holds), unsaid)


def _method(line: Line, with_backbone: bool) -> Iterator[Name]:
    yield method_name(line)
    if with_backbone:
        yield Name(line.backbone)
