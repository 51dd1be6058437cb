"""The table as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from fsbench.published.results import MARKS
from fsbench.records import Record
from fsbench.report.footnote import PARTIAL_MARK, REDUCED_MARK, footnote, listed, partial, reduced, span
from fsbench.report.published import Match, beside
from fsbench.report.table import Cell, Row, Table

__all__ = ["escape", "pipe_table", "to_markdown"]

_NOTHING = "–"
_INSIDE = {True: "yes", False: "no", None: _NOTHING}

_Titled = tuple[str, Iterable[str]]  # a title and the texts below it


def to_markdown(table: Table, *, notes: bool = True, ranks: bool = False, published: bool = False) -> str:
    """Write a table with its title and stamps.

    One test source gives one table with all shots, a method a row. Several give one table for every way and
    shot as in the Meta-Dataset paper, a source a row and a method a column, and one of average ranks.

    Args:
        table: What to write.
        notes: Also how the models were trained, and what the figures are. Without them it fits a screen.
        ranks: With several test sources, also the rank behind every figure; with one they always stand there.
        published: Also, where there are any, the published results of the same methods, sources, ways and shots.
    """
    parts = [f"# {escape(table.suite)}", *(_paper(table, ranks) if table.by_source else _compact(table))]
    if published and (matches := beside(table)):
        parts += ["## Published results", *_published(table, matches)]
    if notes:
        points = "\n".join(f"- **{escape(note.term)}**: {escape(note.text)}" for note in footnote(table))
        parts += ["## What the figures are", points, "## How the models were trained", _trainings(table)]
    return "\n\n".join(parts) + "\n"


def pipe_table(heads: Sequence[str], rows: Sequence[Sequence[str]], alignment: Sequence[str]) -> str:
    """A Markdown table of escaped texts, every column aligned "left" or "right"."""
    from tabulate import tabulate

    return tabulate(rows, heads, tablefmt="pipe", colalign=alignment, disable_numparse=True)


def escape(text: str) -> str:
    """Text as Markdown that shows it literally, also within a table."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word, an underscore is only itself


def _compact(table: Table) -> Iterator[str]:
    """One source: all columns in one table."""
    yield from _stamps(table, "in the rows", "images")
    one_way = len({column.way for column in table.columns}) == 1
    figures: list[_Titled] = []
    for index, column in enumerate(table.columns):
        title = f"{column.shot}-shot" if one_way and column.way is not None else column.setting
        figures += _figures(table, index, title)
    yield _pipe_table([*_heads(table), *figures, _average_ranks(table)])


def _paper(table: Table, ranks: bool) -> Iterator[str]:
    """Several sources: a table for every way and shot, sources below each other, methods side by side."""
    backbones = {row.backbone for row in table.rows}
    if len(backbones) == 1:
        yield f"Backbone: {escape(*backbones)}"
    yield from _stamps(table, "of the methods", f"images in the sources marked {PARTIAL_MARK}")
    if ranks:
        spread = (
            "the standard deviation between training seeds, where there are several; " if table.several_seeds else ""
        )
        yield f"In brackets: {spread}the rank"
    for setting in table.settings:
        yield f"## {setting.capitalize()}"
        yield _by_source(table, setting, ranks, several_backbones=len(backbones) > 1)
    if len(table.settings) > 1:
        yield "## Average rank"
        yield _pipe_table([*_heads(table), _average_ranks(table)])


def _by_source(table: Table, setting: str, ranks: bool, *, several_backbones: bool) -> str:
    """The figures of one way and shot, then a line for every source left out, then the average ranks."""
    places = [place for place, column in enumerate(table.columns) if column.setting == setting]
    measured = [table.columns[place] for place in places]
    sources = [
        f"{escape(column.source)} {PARTIAL_MARK}" if column.partial else escape(column.source) for column in measured
    ]
    columns: list[_Titled] = [("Test source", [*sources, *map(escape, table.absent), "average rank"])]
    for row in table.rows:
        figures = [_figure(row.cells[place], ranks) for place in places]
        average = _rank(row.setting_ranks.get(setting), 2)
        title = f"{_name(row)}, {escape(row.backbone)}" if several_backbones else _name(row)
        columns.append((title, [*figures, *(_NOTHING for _ in table.absent), average]))
    return _pipe_table(columns, left=1)


def _published(table: Table, matches: Sequence[Match]) -> Iterator[str]:
    """What others report of a table's cells: a line a figure, then what the marks mean, then the sources."""
    references = list(dict.fromkeys(match.published.reference for match in matches))
    columns: list[_Titled] = [
        ("Method", [escape(match.row.name) for match in matches]),
        (
            "Measured on",
            [escape(str(match.column) if table.by_source else match.column.setting) for match in matches],
        ),
        ("Published as", [escape(f"{match.published.method}, {match.published.backbone}") for match in matches]),
        ("ours", [f"{match.cell.mean:.2f} ± {match.cell.ci95:.2f}" for match in matches]),
        ("published", [f"{match.published.figure} {match.published.marks}".rstrip() for match in matches]),
        ("difference", [f"{match.difference:+.2f}".replace("-", "−") for match in matches]),
        ("inside", [_INSIDE[match.inside] for match in matches]),
        ("source", [str(references.index(match.published.reference) + 1) for match in matches]),
    ]
    yield (
        "As others report them, and not ranked with ours. The difference is ours minus theirs, in percentage points; "
        f"inside: whether our mean lies in the published 95 % interval ({_NOTHING}: none was printed)."
    )
    yield _pipe_table(columns, left=3)
    used = "".join(match.published.marks for match in matches)
    legend = [f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in used]
    if reduced(table) or partial(table):
        legend.append("The stamps under the title hold for our figures here too, whose marks are left out.")
    if legend:
        yield "\n".join(f"- {line}" for line in legend)
    yield "\n".join(f"{number}. {escape(reference)}" for number, reference in enumerate(references, 1))


def _stamps(table: Table, trained: str, incomplete: str) -> Iterator[str]:
    """What a reader must know of a table before any figure of it."""
    if stamp := reduced(table):
        yield f"**reduced training** {escape(stamp)} {trained} marked {REDUCED_MARK}"
    if stamp := partial(table):
        yield f"**partial** {incomplete}: {escape(stamp)}"


def _trainings(table: Table) -> str:
    """How long every row trained, and on what."""
    facts: list[_Titled] = [
        (
            "trained on",
            [escape(listed(map(_trained_on, row.records))) for row in table.rows],
        ),
        ("parameters", [span(r.training.parameters for r in row.records) for row in table.rows]),
        ("training seeds", [listed(sorted({r.identity.train_seed for r in row.records})) for row in table.rows]),
    ]
    for shot in dict.fromkeys(column.shot for column in table.columns):
        trained = ([r for r in row.records if r.identity.shot == shot] for row in table.rows)
        title = "steps, variable shot" if shot is None else f"steps, {shot}-shot"
        facts.append((title, [_steps(found) for found in trained]))
    return f"{_pipe_table([_heads(table)[0], *facts], left=2)}\n\n" + (
        "Steps taken of the steps planned: a training that took fewer had stopped improving on the validation "
        "episodes. Those episodes alone also chose the weights that were kept. The parameters are all that the "
        "training adjusted."
    )


def _trained_on(record: Record) -> str:
    sources = record.identity.train_sources
    return sources[0] if len(sources) == 1 else f"{len(sources)} sources"


def _heads(table: Table) -> list[_Titled]:
    return [
        ("Method", [_name(row) for row in table.rows]),
        ("Backbone", [escape(row.backbone) for row in table.rows]),
    ]


def _name(row: Row) -> str:
    return f"{escape(row.name)} {REDUCED_MARK}" if row.reduced else escape(row.name)


def _figures(table: Table, column: int, title: str) -> list[_Titled]:
    cells = [row.cells[column] for row in table.rows]
    return [
        (title, [_figure(cell) for cell in cells]),
        ("rank", [_rank(None if cell is None else cell.rank, 1) for cell in cells]),
    ]


def _figure(cell: Cell | None, ranks: bool = False) -> str:
    """Mean and interval, bold if best, and in brackets the spread between training seeds and the rank."""
    if cell is None:
        return _NOTHING
    figure = f"{cell.mean:.2f} ± {cell.ci95:.2f}"
    inside = [] if cell.spread is None else [f"{cell.spread:.2f}"]
    if ranks:
        inside.append(_rank(cell.rank, 1))
    return (f"**{figure}**" if cell.best else figure) + (f" ({'; '.join(inside)})" if inside else "")


def _rank(rank: float | None, decimals: int) -> str:
    return _NOTHING if rank is None else f"{rank:.{decimals}f}"


def _average_ranks(table: Table) -> _Titled:
    return "average rank", [_rank(row.average_rank, 2) for row in table.rows]


def _steps(records: Sequence[Record]) -> str:
    if not records:
        return _NOTHING
    taken, planned = (span(getattr(r.training, name) for r in records) for name in ("steps", "planned_steps"))
    return f"{taken} of {planned}"


def _pipe_table(columns: Sequence[_Titled], *, left: int = 2) -> str:
    """A Markdown table, its first `left` columns aligned left and the others right."""
    rows = list(zip(*(texts for _, texts in columns), strict=True))
    alignment = ["left"] * left + ["right"] * (len(columns) - left)
    return pipe_table([title for title, _ in columns], rows, alignment)
