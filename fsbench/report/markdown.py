"""The table as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from fsbench.published.results import MARKS
from fsbench.records import Record
from fsbench.report.footnote import footnote
from fsbench.report.layout import Entry, Layout, Measured, Name, Rank, lay_out, method_name
from fsbench.report.marks import DEVIATES_MARK, PARTIAL_MARK, REDUCED_MARK, partial, reduced, track_mark, trained_on
from fsbench.report.published import Match, beside
from fsbench.report.table import Figure, Table
from fsbench.report.wording import listed, signed, span
from fsbench.text import printable

__all__ = ["escape", "pipe_table", "to_markdown"]

_NOTHING = "–"
_INSIDE = {True: "yes", False: "no", None: _NOTHING}
_SIGNS = {
    "reduced": f" {REDUCED_MARK}",
    "partial": f" {PARTIAL_MARK}",
    "deviates": f" {DEVIATES_MARK}",
    "transductive": "",
}

_Titled = tuple[str, Iterable[str]]  # a title and the texts below it


def to_markdown(table: Table, *, notes: bool = True, cell_ranks: bool = False, published: bool = False) -> str:
    """Write a table with its title and stamps, as `fsbench.report.layout` lays it out.

    Args:
        table: What to write.
        notes: Also how the models were trained, and what the figures are. Without them it fits a screen.
        cell_ranks: With several test sources, also the rank behind every figure; with one they always stand there.
        published: Also, where there are any, the published results of the same methods, sources, ways and shots.
    """
    parts = [f"# {escape(table.suite)}", *_above(table, cell_ranks)]
    for layout in lay_out(table, cell_ranks=cell_ranks):
        parts += [f"## {layout.title.capitalize()}"] if layout.title else []
        parts.append(_layout(layout))
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
    text = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word, an underscore is only itself


def _above(table: Table, cell_ranks: bool) -> Iterator[str]:
    """What a reader must know of a table before any figure of it."""
    backbones = {line.backbone for line in table.lines}
    if table.by_source and len(backbones) == 1:
        yield f"Backbone: {escape(*backbones)}"
    if stamp := reduced(table):
        whose = "of the methods" if table.by_source else "in the rows"
        yield f"**reduced training** {escape(stamp)} {whose} marked {REDUCED_MARK}"
    if stamp := partial(table):
        images = f"images in the sources marked {PARTIAL_MARK}" if table.by_source else "images"
        yield f"**partial** {images}: {escape(stamp)}"
    if table.by_source and cell_ranks:
        spread = "the standard deviation between training seeds, where there are several; "
        yield f"In brackets: {spread if table.several_seeds else ''}the rank"


def _layout(layout: Layout) -> str:
    lines = [[_entry(entry) for entry in line] for line in (*layout.lines, *layout.foot)]
    alignment = ["left" if isinstance(entry, Name) else "right" for entry in layout.lines[0]]
    return pipe_table([_entry(head) for head in layout.heads], lines, alignment)


def _entry(entry: Entry) -> str:
    if isinstance(entry, Name):
        backbone = f", {escape(entry.backbone)}" if entry.backbone else ""
        return escape(entry.text) + "".join(_SIGNS[mark] for mark in entry.marks) + backbone
    if isinstance(entry, Measured) and entry.figure is not None:
        return _figure(entry.figure, entry.with_rank)
    return (str(entry) if isinstance(entry, Rank) else "") or _NOTHING


def _figure(figure: Figure, with_rank: bool) -> str:
    """Mean and interval, bold if best, and in brackets the spread between training seeds and the rank."""
    inside = [] if figure.spread is None else [f"{figure.spread:.2f}"]
    if with_rank:
        inside.append(str(Rank(figure.rank, 1)) or _NOTHING)
    text = f"{figure.mean:.2f} ± {figure.ci95:.2f}"
    shown = f"**{text}**" if figure.best else text
    return shown + track_mark(figure) + (f" ({'; '.join(inside)})" if inside else "")


def _published(table: Table, matches: Sequence[Match]) -> Iterator[str]:
    """What others report of a table's figures: a line a figure, then what the marks mean, then the sources."""
    references = list(dict.fromkeys(match.published.reference for match in matches))
    columns: list[_Titled] = [
        ("Method", [escape(match.line.name) for match in matches]),
        (
            "Measured on",
            [escape(str(match.column) if table.by_source else match.column.setting) for match in matches],
        ),
        ("Published as", [escape(f"{match.published.method}, {match.published.backbone}") for match in matches]),
        ("ours", [f"{match.figure.mean:.2f} ± {match.figure.ci95:.2f}" for match in matches]),
        ("published", [f"{match.published.figure} {match.published.marks}".rstrip() for match in matches]),
        ("difference", [signed(match.difference) for match in matches]),
        ("inside", [_INSIDE[match.inside] for match in matches]),
        ("source", [str(references.index(match.published.reference) + 1) for match in matches]),
    ]
    yield (
        "As others report them, and not ranked with ours. The difference is ours minus theirs, in percentage points; "
        f"inside: whether our mean lies in the published 95 % interval ({_NOTHING}: none was printed)."
    )
    yield _columns(columns, left=3)
    used = "".join(match.published.marks for match in matches)
    legend = [f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in used]
    if reduced(table) or partial(table):
        legend.append("The stamps under the title hold for our figures here too, whose marks are left out.")
    if legend:
        yield "\n".join(f"- {line}" for line in legend)
    yield "\n".join(f"{number}. {escape(reference)}" for number, reference in enumerate(references, 1))


def _trainings(table: Table) -> str:
    """How long every row trained, and on what."""
    counted = any(record.step_images is not None for record in table.records)
    facts: list[_Titled] = [
        ("Method", [_entry(method_name(line)) for line in table.lines]),
        ("trained on", [escape(listed(map(_sources, line.records))) for line in table.lines]),
        ("parameters", [span(r.training.parameters for r in line.records) for line in table.lines]),
        ("training seeds", [listed(sorted({r.identity.train_seed for r in line.records})) for line in table.lines]),
    ]
    for shot in dict.fromkeys(column.shot for column in table.columns):
        trained = [[r for r in line.records if r.identity.shot == shot] for line in table.lines]
        where = "variable shot" if shot is None else f"{shot}-shot"
        facts.append((f"steps, {where}", [_steps(records) for records in trained]))
        if counted:
            facts.append((f"images, {where}", [_images(records) for records in trained]))
    text = (
        "Steps taken of the steps planned: a training that took fewer had stopped improving on the validation "
        "episodes. Those episodes alone also chose the weights that were kept. The parameters are all that the "
        "training adjusted."
    )
    if counted:
        text += (
            " The images are those of its steps, each as often as it was shown, without those of a training that it "
            f"started from ({_NOTHING}: none, a number that varied, or not recorded)."
        )
    return f"{_columns(facts, left=2)}\n\n{text}"


def _sources(record: Record) -> str:
    number = len(record.identity.train_sources)
    return f"{number} sources" if number > 1 else trained_on(record)


def _steps(records: Sequence[Record]) -> str:
    if not any(record.training.planned_steps for record in records):
        return _NOTHING
    taken, planned = (span(getattr(r.training, name) for r in records) for name in ("steps", "planned_steps"))
    return f"{taken} of {planned}"


def _images(records: Sequence[Record]) -> str:
    seen = [record.seen_images for record in records if record.seen_images is not None]
    return span(seen) if records and len(seen) == len(records) else _NOTHING


def _columns(columns: Sequence[_Titled], *, left: int) -> str:
    """A Markdown table, its first `left` columns aligned left and the others right."""
    rows = list(zip(*(texts for _, texts in columns), strict=True))
    alignment = ["left"] * left + ["right"] * (len(columns) - left)
    return pipe_table([title for title, _ in columns], rows, alignment)
