"""What a table's figures are, in words, for the foot of the table in any format.

The words depend on the records alone: no date, no timing, so that two equal runs give equal files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fsbench.report.table import Column, Table

__all__ = ["Note", "footnote", "listed", "reduced", "span"]


class Note(NamedTuple):
    """One point of a footnote, as plain text."""

    term: str
    text: str


def footnote(table: Table) -> list[Note]:
    """Everything that a reader must know to quote a figure of the table."""
    return [
        _accuracy(),
        *_seeds(table),
        _ranks(table),
        _inductive(table),
        _backbones(table),
        *_episodes(table),
        *_missing(table),
        _made_with(table),
    ]


def reduced(table: Table) -> str | None:
    """The stamp of a table with models that trained for another length than the suite states."""
    fractions = {record.identity.training_fraction for record in table.records} - {1.0}
    percents = listed(f"{100 * fraction:g} %" for fraction in sorted(fractions))
    return f"({percents} of the suite's length)" if fractions else None


def listed(values: Iterable[object], separator: str = ", ") -> str:
    """Every value once."""
    return separator.join(dict.fromkeys(map(str, values)))


def span(values: Iterable[int]) -> str:
    """One value, or the smallest and the largest."""
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,}–{found[-1]:,}"


def _accuracy() -> Note:
    return Note(
        "Accuracy",
        "percent of an episode's queries that are classified correctly, mean over the episodes ± 95 % confidence "
        "interval (Student t). The interval covers a closed world: it says how far the mean may lie from the one over "
        "all episodes of these test classes, for these trained models; it covers neither another training nor other "
        "classes.",
    )


def _seeds(table: Table) -> Iterator[Note]:
    if any(cell is not None and cell.spread is not None for row in table.rows for cell in row.cells):
        yield Note(
            "Training seeds",
            "where a row has several, the accuracy of an episode is first averaged over them; the figure in brackets "
            "is the standard deviation between the means of the seeds.",
        )


def _ranks(table: Table) -> Note:
    ranked = listed(row.name for row in table.rows if not row.transductive)
    return Note(
        "Rank",
        f"Meta-Dataset's rule in every column, among {ranked or 'no row'}: the best row leads, rows that lie at most "
        "√(CI² + CI²) of the two below it are tied with it and share a rank, and the others follow in the same way. "
        "The average rank is the mean over the columns. Bold: the best row and those tied with it.",
    )


def _inductive(table: Table) -> Note:
    exception = (
        " The rows marked transductive are the exception: they may use all queries of an episode together, so they are "
        "not like for like: not ranked, never bold."
    )
    return Note(
        "Inductive",
        "the answer to a query does not depend on the episode's other queries."
        + (exception if any(row.transductive for row in table.rows) else " So it is in every row."),
    )


def _backbones(table: Table) -> Note:
    parameters: dict[str, set[int]] = {}
    for row in table.rows:
        parameters.setdefault(row.backbone, set()).update(record.training.parameters for record in row.records)
    text = "; ".join(f"{backbone}, {span(counts)} trained parameters" for backbone, counts in parameters.items())
    return Note("Backbone", f"{text} with the method's own.")


def _episodes(table: Table) -> Iterator[Note]:
    """One note a source: its images, and the episodes of each of its columns."""
    sources: dict[str, list[Column]] = {}
    for column in table.columns:
        colours = "1 channel" if column.channels == 1 else f"{column.channels} channels"
        partial = f", {column.partial}" if column.partial else ""
        source = (
            f"{column.source}, {column.split} split, {column.image_size}×{column.image_size} pixels, {colours}, "
            f"pack {column.pack[:12]}{partial}; sampler {column.sampler}, seed {column.episode_seed}"
        )
        sources.setdefault(source, []).append(column)
    for source, columns in sources.items():
        draws = "; ".join(
            f"{column.way}-way {column.shot}-shot, {column.queries} queries per class, {column.episodes} episodes, "
            f"hash {column.episode_set[:12]}"
            for column in columns
        )
        yield Note("Episodes", f"{source}: {draws}.")


def _missing(table: Table) -> Iterator[Note]:
    holes = [
        f"{row.name} on {column}"
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell is None
    ]
    if holes:
        yield Note("Missing", f"no finished record of {'; '.join(holes)}. A row with a gap has no average rank.")
    for reason in table.missing:
        yield Note("Missing", reason)


def _made_with(table: Table) -> Note:
    machines = [record.environment for record in table.records]
    versions = (f"fsbench {m.fsbench}, Python {m.python}, torch {m.torch}, NumPy {m.numpy}" for m in machines)
    commits = listed(_commit(machine.commit) for machine in machines)
    devices = listed(machine.device for machine in machines)
    return Note("Made with", f"{listed(versions, '; ')}; commit {commits}; device {devices}.")


def _commit(commit: str | None) -> str:
    if commit is None:
        return "not recorded"
    return f"{commit[:12]} with changes" if commit.endswith("+") else commit[:12]
