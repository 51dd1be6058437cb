"""The table as LaTeX, for a paper to read in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

from fsbench.report.footnote import footnote
from fsbench.report.layout import Entry, Layout, Mark, Measured, Name, Rank, lay_out
from fsbench.report.marks import partial, reduced
from fsbench.report.table import Figure, Table
from fsbench.report.wording import listed, span
from fsbench.text import printable

__all__ = ["Notes", "to_latex"]

Notes: TypeAlias = Literal["short", "full"]

_NOTHING: Final = "--"
_WITH_SPREAD: Final = r"r@{\,}l"  # two columns: the figure, and the spread between training seeds
_MARKS: Final[Mapping[Mark, str]] = {
    "reduced": r"\S",
    "partial": r"\P",
    "deviates": r"\Vert",
    "transductive": r"\dagger",
}

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
    "‖": r"$\Vert$",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
}


def to_latex(table: Table, *, notes: Notes = "short") -> str:
    """Write a table, what its marks mean, and what its figures are; only `booktabs` is needed.

    The layout is that of `fsbench.report.layout`. Decimals stand below each other, being equally many and aligned
    right. Letters other than Latin ones are written as they are, for LuaLaTeX or XeLaTeX.

    Args:
        table: The table.
        notes: Below it: what a caption needs, in two lines and one for every mark; or all that a reader must know to
            quote a figure.
    """
    digits = max(len(f"{figure.ci95:.2f}") - 3 for line in table.lines for figure in line.figures if figure is not None)
    parts = [r"% needs \usepackage{booktabs}, and nothing else"]
    for layout in lay_out(table):
        if layout.title:
            parts.append(rf"\noindent\textbf{{{layout.title.capitalize()}}}\par\smallskip")
        parts += [r"\noindent", _tabular(layout, digits), r"\par\medskip"]
    return "\n".join([*parts, _notes(table, notes)]) + "\n"


def _escape(text: str) -> str:
    """Text as LaTeX that prints it literally."""
    signs = printable(" ".join(text.split()))
    return re.sub("-(?=-)", "-{}", "".join(_SIGNS.get(sign, sign) for sign in signs))  # two would become a dash


def _tabular(layout: Layout, digits: int) -> str:
    """A booktabs tabular; its foot stands apart from the lines."""
    kinds = [_kind(entries) for entries in layout.columns]
    heads = [_head(head, kind) for head, kind in zip(layout.heads, kinds, strict=True)]
    lines, foot = ([_line(line, kinds, digits) for line in part] for part in (layout.lines, layout.foot))
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}{''.join(kinds)}@{{}}}}",
            r"\toprule",
            rf"{' & '.join(heads)} \\",
            r"\midrule",
            *lines,
            *([r"\midrule", *foot] if foot else []),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _kind(entries: Iterable[Entry]) -> str:
    """Names are aligned left and numbers right; where there are any, spreads have a column of their own."""
    figures = [entry.figure for entry in entries if isinstance(entry, Measured)]
    if any(figure is not None and figure.spread is not None for figure in figures):
        return _WITH_SPREAD
    return "r" if figures or all(isinstance(entry, Rank) for entry in entries) else "l"


def _head(head: Name, kind: str) -> str:
    return _entry(head, 0) if kind == "l" else rf"\multicolumn{{{len(kind.split('@'))}}}{{c}}{{{_entry(head, 0)}}}"


def _line(line: Iterable[Entry], kinds: Iterable[str], digits: int) -> str:
    texts = (
        f"{_entry(entry, digits)} &{_spread(entry)}" if kind == _WITH_SPREAD else _entry(entry, digits)
        for entry, kind in zip(line, kinds, strict=True)
    )
    return rf"{' & '.join(texts)} \\"


def _entry(entry: Entry, digits: int) -> str:
    """An entry; half widths are padded to so many digits before the point."""
    if isinstance(entry, Name):
        backbone = f", {_escape(entry.backbone)}" if entry.backbone else ""
        return _escape(entry.text) + _superscript(*entry.marks) + backbone
    if isinstance(entry, Measured) and entry.figure is not None:
        return _figure(entry.figure, digits)
    return (str(entry) if isinstance(entry, Rank) else "") or _NOTHING


def _figure(figure: Figure, digits: int) -> str:
    half_width = f"{figure.ci95:.2f}"
    padding = "0" * (digits - half_width.index("."))
    phantom = rf"\phantom{{{padding}}}" if padding else ""
    text = rf"{figure.mean:.2f} \pm {phantom}{half_width}"
    track = "" if figure.track == "A" else rf"\rlap{{$^{{\mathrm{{{figure.track}}}}}$}}"
    return (rf"$\mathbf{{{text}}}$" if figure.best else f"${text}$") + track


def _spread(entry: Entry) -> str:
    figure = entry.figure if isinstance(entry, Measured) else None
    return "" if figure is None or figure.spread is None else f" ({figure.spread:.2f})"


def _superscript(*marks: Mark) -> str:
    return f"$^{{{''.join(_MARKS[mark] for mark in marks)}}}$" if marks else ""


def _notes(table: Table, notes: Notes) -> str:
    """What the marks mean and what the figures are, each a paragraph in small type."""
    full = (rf"\textbf{{{_escape(note.term)}:}} {_escape(note.text)}" for note in footnote(table))
    points = [*_legend(table), *(full if notes == "full" else map(_escape, _caption(table)))]
    return "\n".join(
        [r"{\footnotesize\setlength{\parindent}{0pt}\raggedright", *(rf"{point}\par" for point in points), "}"]
    )


def _caption(table: Table) -> Iterator[str]:
    columns = table.columns
    queries = {column.queries for column in columns if column.queries is not None}
    each = f" with {span(queries)} queries per class" if queries else ""
    pixels = dict.fromkeys(record.identity.images["size"] for record in table.records)
    sizes = listed(f"{size}×{size}" for size in pixels)
    yield (
        f"Mean accuracy in percent ± 95 % confidence interval over {span(column.episodes for column in columns)} "
        f"episodes{each}, {sizes} pixels. Bold: the best, and those not significantly worse (paired t test, Holm)."
    )
    hashes = listed(column.episode_set[:12] for column in columns)
    versions = listed(record.environment.fsbench for record in table.records)
    rule = {"metadataset": "Meta-Dataset's rule", "paired": "by paired tests"}[table.ranks]
    yield f"fsbench {versions}, suite {table.suite}, episodes {hashes}. Rank: {rule}."


def _legend(table: Table) -> Iterator[str]:
    if stamp := reduced(table):
        yield f"{_superscript('reduced')} reduced training {_escape(stamp)}"
    if stamp := partial(table):
        yield f"{_superscript('partial')} partial images: {_escape(stamp)}"
    if any(line.deviates for line in table.lines):
        yield f"{_superscript('deviates')} trained otherwise than in its paper"
    if any(line.transductive for line in table.lines):
        yield f"{_superscript('transductive')} transductive: not ranked, never bold"
    tracks = {record.track for record in table.records}
    for track, seen in (
        ("B", "without known overlap with the test classes"),
        ("C", "with overlap, or it is not known"),
    ):
        if track in tracks:
            yield rf"$^{{\mathrm{{{track}}}}}$ leakage track {track}: weights {seen}; ranked apart"
    if table.several_seeds:
        yield "In brackets: standard deviation between training seeds."
