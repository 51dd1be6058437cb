"""The table as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fsbench.records import Record
from fsbench.report.footnote import footnote, listed, reduced, span
from fsbench.report.table import Cell, Row, Table

__all__ = ["to_markdown"]

_NOTHING = "–"
_REDUCED = "†"

_Titled = tuple[str, Iterable[str]]  # a title and the texts below it


def to_markdown(table: Table, *, notes: bool = True) -> str:
    """Write a table with its title and stamps.

    One test source gives one table with all shots; several give one table a shot, sources side by side,
    and one of average ranks.

    Args:
        table: What to write.
        notes: Also how the models were trained, and what the figures are. Without them it fits a screen.
    """
    parts = [f"# {_escape(table.suite)}"]
    if stamp := reduced(table):
        parts.append(f"**reduced training** {_escape(stamp)} in the rows marked {_REDUCED}")
    if len({column.source for column in table.columns}) == 1:
        parts.append(_compact(table))
    else:
        for way, shot in dict.fromkeys((column.way, column.shot) for column in table.columns):
            parts += [f"## {way}-way {shot}-shot", _side_by_side(table, way, shot)]
        parts += ["## Average rank", _pipe_table([*_heads(table), _average_ranks(table)])]
    if notes:
        points = "\n".join(f"- **{_escape(note.term)}**: {_escape(note.text)}" for note in footnote(table))
        parts += ["## What the figures are", points, "## How the models were trained", _trainings(table)]
    return "\n\n".join(parts) + "\n"


def _escape(text: str) -> str:
    """Text as Markdown that shows it literally, also within a table."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word, an underscore is only itself


def _compact(table: Table) -> str:
    """One source: all columns in one table."""
    one_way = len({column.way for column in table.columns}) == 1
    figures: list[_Titled] = []
    for index, column in enumerate(table.columns):
        figures += _figures(table, index, f"{column.shot}-shot" if one_way else f"{column.way}-way {column.shot}-shot")
    return _pipe_table([*_heads(table), *figures, _average_ranks(table)])


def _side_by_side(table: Table, way: int, shot: int) -> str:
    """Several sources: the columns of one way and shot."""
    figures: list[_Titled] = []
    for index, column in enumerate(table.columns):
        if (column.way, column.shot) == (way, shot):
            figures += _figures(table, index, _escape(column.source))
    return _pipe_table([*_heads(table), *figures])


def _trainings(table: Table) -> str:
    """How long every row trained, and on what."""
    facts: list[_Titled] = [
        (
            "trained on",
            [listed(_escape("+".join(r.identity.train_sources)) for r in row.records) for row in table.rows],
        ),
        ("parameters", [span(r.training.parameters for r in row.records) for row in table.rows]),
        ("training seeds", [listed(sorted({r.identity.train_seed for r in row.records})) for row in table.rows]),
    ]
    for shot in dict.fromkeys(column.shot for column in table.columns):
        trained = ([r for r in row.records if r.identity.shot == shot] for row in table.rows)
        facts.append((f"steps, {shot}-shot", [_steps(found) for found in trained]))
    return f"{_pipe_table([_heads(table)[0], *facts], left=2)}\n\n" + (
        "Steps taken of the steps planned: a training that took fewer had stopped improving on the validation "
        "episodes. Those episodes alone also chose the weights that were kept. The parameters are all that the "
        "training adjusted."
    )


def _heads(table: Table) -> list[_Titled]:
    return [
        ("Method", [_name(row) for row in table.rows]),
        ("Backbone", [_escape(row.backbone) for row in table.rows]),
    ]


def _name(row: Row) -> str:
    return f"{_escape(row.name)} {_REDUCED}" if row.reduced else _escape(row.name)


def _figures(table: Table, column: int, title: str) -> list[_Titled]:
    cells = [row.cells[column] for row in table.rows]
    return [
        (title, [_figure(cell) for cell in cells]),
        ("rank", [_NOTHING if cell is None or cell.rank is None else f"{cell.rank:.1f}" for cell in cells]),
    ]


def _figure(cell: Cell | None) -> str:
    if cell is None:
        return _NOTHING
    figure = f"{cell.mean:.2f} ± {cell.ci95:.2f}"
    spread = "" if cell.spread is None else f" ({cell.spread:.2f})"
    return f"**{figure}**{spread}" if cell.best else f"{figure}{spread}"


def _average_ranks(table: Table) -> _Titled:
    averages = (row.average_rank for row in table.rows)
    return "average rank", [_NOTHING if average is None else f"{average:.2f}" for average in averages]


def _steps(records: Sequence[Record]) -> str:
    if not records:
        return _NOTHING
    taken, planned = (span(getattr(r.training, name) for r in records) for name in ("steps", "planned_steps"))
    return f"{taken} of {planned}"


def _pipe_table(columns: Sequence[_Titled], *, left: int = 2) -> str:
    """A Markdown table, its first `left` columns aligned left and the others right."""
    import pandas as pd

    rows = list(zip(*(texts for _, texts in columns), strict=True))
    frame = pd.DataFrame(rows, columns=[title for title, _ in columns])
    alignment = ["left"] * left + ["right"] * (len(columns) - left)
    return str(frame.to_markdown(index=False, disable_numparse=True, colalign=alignment))
