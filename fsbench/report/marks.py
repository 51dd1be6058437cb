"""The signs and stamps that tables carry in every format; the notes below a table say what they mean."""

from __future__ import annotations

from typing import Final

from fsbench.records import Record
from fsbench.report.table import Figure, Table
from fsbench.report.wording import listed

__all__ = ["DEVIATES_MARK", "PARTIAL_MARK", "REDUCED_MARK", "partial", "reduced", "track_mark", "trained_on"]

REDUCED_MARK: Final = "§"  # † and ‡ are those of published results
PARTIAL_MARK: Final = "¶"
DEVIATES_MARK: Final = "‖"


def reduced(table: Table) -> str | None:
    """The stamp of a table with models that trained for another length than the suite states."""
    fractions = {record.identity.training_fraction for record in table.records} - {1.0}
    percents = listed(f"{100 * fraction:g} %" for fraction in sorted(fractions))
    return f"({percents} of the suite's length)" if fractions else None


def partial(table: Table) -> str | None:
    """The stamp of a table with sources whose images are not all there: which, and what there is of them."""
    sources: dict[str, list[str]] = {}
    for column in table.columns:
        if column.partial:
            sources.setdefault(column.partial.removeprefix("partial "), []).append(column.source)
    return "; ".join(f"{listed(names)} {stamp}" for stamp, names in sources.items()) or None


def trained_on(record: Record) -> str:
    """The sources that a model was trained on here, or the corpora elsewhere."""
    if record.pretraining is None:
        return listed(record.identity.train_sources)
    return f"elsewhere: {listed(record.pretraining.corpora) or 'unknown'}"


def track_mark(figure: Figure) -> str:
    """What follows a figure that is of another track than A."""
    return "" if figure.track == "A" else f"\N{NO-BREAK SPACE}{figure.track}"
