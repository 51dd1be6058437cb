"""The table as LaTeX, for a paper to read in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fsbench.report.footnote import footnote, partial, reduced
from fsbench.report.table import Cell, Row, Table

__all__ = ["to_latex"]

_NOTHING: Final = "--"
_MARKS: Final = {"reduced": r"\S", "partial": r"\P", "transductive": r"\dagger"}
_SPREAD: Final = "the standard deviation between training seeds, where there are several; "

# What TeX or a font takes for something else; at the start of a line of a tabular, [ and * belong to the \\ before it.
_SIGNS: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "*": "{*}",
    "–": r"\textendash{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "√": r"$\surd$",
    "²": "$^2$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
}


class _Column(NamedTuple):
    """A column of a tabular; where its kind is that of two, its entries hold the & between them."""

    kind: str
    title: str
    entries: Sequence[str]


class _Tabular(NamedTuple):
    title: str
    text: str
    unit: str = r"accuracy in percent, mean $\pm$ 95\,\% confidence interval"


def to_latex(table: Table, *, ranks: bool = False, float_: bool = False) -> str:
    """Write a table, what its marks mean, and what its figures are; only `booktabs` is needed.

    The layout is that of `fsbench.report.markdown.to_markdown`. Decimals stand below each other, being equally many
    and aligned right. Letters other than Latin ones are written as they are, for LuaLaTeX or XeLaTeX.

    Args:
        table: What to write.
        ranks: With several test sources, also the rank behind every figure; with one they always stand there.
        float_: Put every tabular into a `table` with caption and label, the notes into the last one.
    """
    tabulars = list(_by_source(table, ranks) if table.by_source else _compact(table))
    notes = _notes(table, ranks)
    parts = [r"% needs \usepackage{booktabs}, and nothing else"]
    for place, tabular in enumerate(tabulars, start=1):
        below = notes if place == len(tabulars) else ""
        parts += _floating(table, tabular, below) if float_ else _running(tabular, below)
    return "\n".join(filter(None, parts)) + "\n"


def _escape(text: str) -> str:
    """Text as LaTeX that prints it literally."""
    signs = (sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", "".join(_SIGNS.get(sign, sign) for sign in signs))  # two would become a dash


def _running(tabular: _Tabular, notes: str) -> Iterator[str]:
    if tabular.title:
        yield rf"\noindent\textbf{{{tabular.title.capitalize()}}}\par\smallskip"
    yield from (r"\noindent", tabular.text, r"\par\medskip", notes)


def _floating(table: Table, tabular: _Tabular, notes: str) -> Iterator[str]:
    caption = ", ".join(filter(None, (_escape(table.suite), tabular.title, tabular.unit)))
    label = re.sub(r"[^A-Za-z0-9]+", "-", f"{table.suite} {tabular.title}").strip("-").lower()
    yield from (r"\begin{table}", r"\centering")
    yield rf"\caption{{{caption}}}"
    yield rf"\label{{tab:{label}}}"
    yield from (tabular.text, r"\par\medskip" if notes else "", notes, r"\end{table}")


def _compact(table: Table) -> Iterator[_Tabular]:
    """One source: all columns in one tabular."""
    one_way = len({column.way for column in table.columns}) == 1
    columns = _heads(table)
    for place, column in enumerate(table.columns):
        title = f"{column.shot}-shot" if one_way and column.way is not None else column.setting
        cells = [row.cells[place] for row in table.rows]
        columns.append(_figures(title, cells, _interval_digits(table), ranks=False))
        columns.append(_Column("r", "rank", [_rank(cell.rank if cell else None, 1) for cell in cells]))
    yield _Tabular("", _tabular([*columns, _average_ranks(table)]))


def _by_source(table: Table, ranks: bool) -> Iterator[_Tabular]:
    """Several sources: a tabular for every way and shot, and one of average ranks."""
    several_backbones = len({row.backbone for row in table.rows}) > 1
    for setting in table.settings:
        places = [place for place, column in enumerate(table.columns) if column.setting == setting]
        measured = (table.columns[place] for place in places)
        names = [_escape(column.source) + _superscript(partial=bool(column.partial)) for column in measured]
        columns = [_Column("l", "Test source", [*names, *map(_escape, table.absent), "average rank"])]
        for row in table.rows:
            title = f"{_name(row)}, {_escape(row.backbone)}" if several_backbones else _name(row)
            figures = _figures(title, [row.cells[place] for place in places], _interval_digits(table), ranks)
            split = " &" if figures.kind != "r" else ""
            average = _rank(row.setting_ranks.get(setting), 2)
            below = [_NOTHING + split for _ in table.absent] + [average + split]
            columns.append(figures._replace(entries=[*figures.entries, *below]))
        yield _Tabular(setting, _tabular(columns, foot=1))
    if len(table.settings) > 1:
        yield _Tabular("average rank", _tabular([*_heads(table), _average_ranks(table)]), unit="")


def _heads(table: Table) -> list[_Column]:
    return [
        _Column("l", "Method", [_name(row) for row in table.rows]),
        _Column("l", "Backbone", [_escape(row.backbone) for row in table.rows]),
    ]


def _average_ranks(table: Table) -> _Column:
    return _Column("r", "average rank", [_rank(row.average_rank, 2) for row in table.rows])


def _name(row: Row) -> str:
    return _escape(row.name) + _superscript(reduced=row.reduced, transductive=row.transductive)


def _superscript(**marks: bool) -> str:
    shown = "".join(_MARKS[name] for name, holds in marks.items() if holds)
    return f"$^{{{shown}}}$" if shown else ""


def _figures(title: str, cells: Sequence[Cell | None], digits: int, ranks: bool) -> _Column:
    """Mean and interval, bold if best; where there are any, spread and rank in a column of their own beside them."""
    brackets = [_bracket(cell, ranks) for cell in cells]
    figures = [_figure(cell, digits) for cell in cells]
    if not any(brackets):
        return _Column("r", title, figures)
    return _Column(
        r"r@{\,}l", title, [f"{figure} & {bracket}" for figure, bracket in zip(figures, brackets, strict=True)]
    )


def _figure(cell: Cell | None, digits: int) -> str:
    if cell is None:
        return _NOTHING
    half_width = f"{cell.ci95:.2f}"
    padding = "0" * (digits - half_width.index("."))
    phantom = rf"\phantom{{{padding}}}" if padding else ""
    figure = rf"{cell.mean:.2f} \pm {phantom}{half_width}"
    return rf"$\mathbf{{{figure}}}$" if cell.best else f"${figure}$"


def _bracket(cell: Cell | None, ranks: bool) -> str:
    if cell is None:
        return ""
    inside = [] if cell.spread is None else [f"{cell.spread:.2f}"]
    if ranks:
        inside.append(_rank(cell.rank, 1))
    return f"({'; '.join(inside)})" if inside else ""


def _rank(rank: float | None, decimals: int) -> str:
    return _NOTHING if rank is None else f"{rank:.{decimals}f}"


def _interval_digits(table: Table) -> int:
    """The most digits that a half width of the table has before its point."""
    return max(len(f"{cell.ci95:.2f}") - 3 for row in table.rows for cell in row.cells if cell is not None)


def _tabular(columns: Sequence[_Column], *, foot: int = 0) -> str:
    """A booktabs tabular; its last `foot` lines stand apart from the others."""
    heads = [_head(column) for column in columns]
    lines = [rf"{' & '.join(line)} \\" for line in zip(*(column.entries for column in columns), strict=True)]
    body = [*lines[: len(lines) - foot], *([r"\midrule", *lines[-foot:]] if foot else [])]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}{''.join(column.kind for column in columns)}@{{}}}}",
            r"\toprule",
            rf"{' & '.join(heads)} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _head(column: _Column) -> str:
    spans = len(re.findall("[lr]", column.kind))
    return column.title if column.kind == "l" else rf"\multicolumn{{{spans}}}{{c}}{{{column.title}}}"


def _notes(table: Table, ranks: bool) -> str:
    """What the marks mean and what the figures are, each a paragraph in small type."""
    points = [
        *_legend(table, ranks),
        *(rf"\textbf{{{_escape(note.term)}:}} {_escape(note.text)}" for note in footnote(table)),
    ]
    return "\n".join(
        [r"{\footnotesize\setlength{\parindent}{0pt}\raggedright", *(rf"{point}\par" for point in points), "}"]
    )


def _legend(table: Table, ranks: bool) -> Iterator[str]:
    if stamp := reduced(table):
        yield f"{_superscript(reduced=True)} reduced training {_escape(stamp)}"
    if stamp := partial(table):
        yield f"{_superscript(partial=True)} partial images: {_escape(stamp)}"
    if any(row.transductive for row in table.rows):
        yield f"{_superscript(transductive=True)} transductive: not ranked, never bold"
    if ranks and table.by_source:
        yield f"in brackets: {_SPREAD if table.several_seeds else ''}the rank"
