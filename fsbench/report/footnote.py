"""What a table's figures are, in words, for the foot of the table in any format.

The words depend on the records alone: no date, no timing, so that two equal runs give equal files.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsbench.report.episode_notes import episode_notes
from fsbench.report.model_notes import machine_notes, model_notes
from fsbench.report.table import Table
from fsbench.report.wording import Note, listed

__all__ = ["footnote"]


def footnote(table: Table) -> list[Note]:
    """Everything that a reader must know to quote a figure of the table."""
    return [
        _accuracy(),
        *_seeds(table),
        _ranks(table),
        _bold(table),
        _inductive(table),
        *model_notes(table),
        *episode_notes(table),
        *_missing(table),
        *machine_notes(table),
    ]


def _accuracy() -> Note:
    return Note(
        "Accuracy",
        "percent of an episode's queries that are classified correctly, mean over the episodes ± 95 % confidence "
        "interval (Student t). The interval covers a closed world: it says how far the mean may lie from the one over "
        "all episodes of these test classes, for these trained models; it covers neither another training nor other "
        "classes.",
    )


def _seeds(table: Table) -> Iterator[Note]:
    if table.several_seeds:
        yield Note(
            "Training seeds",
            f"where a {table.line_noun} has several, the accuracy of an episode is first averaged over them; the "
            "figure in brackets right after the interval is the standard deviation between the means of the seeds.",
        )


def _ranks(table: Table) -> Note:
    one, place = table.line_noun, table.column_noun
    by_tracks: dict[tuple[str, ...], list[str]] = {}
    for line in table.lines:
        if not line.transductive:
            by_tracks.setdefault(line.tracks, []).append(line.name)
    ranked = "; and apart from them ".join(map(listed, by_tracks.values()))
    several = table.by_source and len(table.settings) > 1
    scope = " of a table, and in the last table over those of all" if several else ""
    rules = {
        "metadataset": (
            f"Meta-Dataset's rule in every {place}",
            f"{one}s that lie at most √(CI² + CI²) of the two below it are tied with it and share a rank",
        ),
        "paired": (
            f"by paired tests in every {place}",
            f"{one}s that are not significantly worse (as under Bold) are tied with it and share a rank",
        ),
    }
    rule, tied = rules[table.ranks]
    backbones = {line.backbone for line in table.lines if not line.transductive}
    networks = "" if len(backbones) < 2 else " Backbones differ, so a rank is one of method and network together."
    return Note(
        "Rank",
        f"{rule}, among {ranked or f'no {one}'}: the best {one} leads, {tied}, and the others follow in the same "
        f"way. The average rank is the mean over the {place}s{scope}.{networks}",
    )


def _bold(table: Table) -> Note:
    one, place = table.line_noun, table.column_noun
    return Note(
        "Bold",
        f"the best {one} of a {place} and those not significantly worse: Student's t test of the paired differences on "
        f"the shared episodes, at 5 %, corrected by Holm's method for all pairs of the {place}.",
    )


def _inductive(table: Table) -> Note:
    one, everywhere = table.line_noun, "for every method" if table.by_source else "in every row"
    exception = (
        f" The {one}s marked transductive are the exception: they may use all queries of an episode together, so they "
        "are not like for like: not ranked, never bold."
    )
    return Note(
        "Inductive",
        "the answer to a query does not depend on the episode's other queries."
        + (exception if any(line.transductive for line in table.lines) else f" So it is {everywhere}."),
    )


def _missing(table: Table) -> Iterator[Note]:
    holes = [
        f"{line.name} on {column}"
        for line in table.lines
        for column, figure in zip(table.columns, line.figures, strict=True)
        if figure is None
    ]
    if holes:
        yield Note(
            "Missing",
            f"no finished record of {'; '.join(holes)}. A {table.line_noun} with a gap has no average rank over it; "
            "where it has a figure, it takes a place.",
        )
