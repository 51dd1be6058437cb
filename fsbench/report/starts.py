"""Where the trainings of a table's models started."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fsbench.records import Record
from fsbench.report.table import Table
from fsbench.report.wording import listed

__all__ = ["initialisations"]


def initialisations(table: Table) -> Iterator[str]:
    """Where trainings started from, and how good their models were before any step of their own, in words."""
    names = {record.identity.row: line.name for line in table.lines for record in line.records}
    starting: dict[str, dict[str, list[Record]]] = {}
    for record in table.records:
        if (start := record.identity.initialised_from) is not None:
            by_row = starting.setdefault(names.get(start, start), {})
            by_row.setdefault(names[record.identity.row], []).append(record)
    kept_by = _kept_weights(table)
    for start, by_row in starting.items():
        before = [f"{name} {looks}" for name, records in by_row.items() if (looks := _before(records))]
        text = f"the training of {listed(by_row)} starts from the backbone of {start}."
        if kept := [name for name, records in by_row.items() if any(record.training.frozen for record in records)]:
            text += f" That of {listed(kept)} leaves it as it is."
        found = {name: {_starts_from(kept_by, record) for record in records} for name, records in by_row.items()}
        if others := [name for name, shown in found.items() if "another" in shown]:
            text += f" For {listed(others)} that was another training of it than the one in this table."
        if untold := [name for name, shown in found.items() if "not recorded" in shown]:
            text += f" Whether it was the one in this table is not recorded of every training of {listed(untold)}."
        if before:
            text += f" Before its own training, on the validation episodes: {'; '.join(before)}."
        yield text
    if any(_before(records) for by_row in starting.values() for records in by_row.values()):
        text = f"{table.line_noun}s that start from one classifier share much of their accuracy: what a method adds"
        yield f"{text} is the difference from where it began."


def _kept_weights(table: Table) -> dict[tuple[str, int, int | None], set[str | None]]:
    """The hashes of the weights that every row, training seed and training shot has in a table; None: not recorded."""
    kept: dict[tuple[str, int, int | None], set[str | None]] = {}
    for record in table.records:
        identity = record.identity
        kept.setdefault((identity.row, identity.train_seed, identity.train_shot), set()).add(record.training.weights)
    return kept


def _starts_from(kept: Mapping[tuple[str, int, int | None], set[str | None]], record: Record) -> str | None:
    """Which training of the row that it names a training started from; None: the table's own, or it shows none."""
    start, seed, shot = record.identity.initialised_from, record.identity.train_seed, record.identity.train_shot
    shown = kept.get((str(start), seed, None), set()) | kept.get((str(start), seed, shot), set())
    if not shown or record.training.start in shown - {None}:
        return None
    return "not recorded" if record.training.start is None or None in shown else "another"


def _before(records: Iterable[Record]) -> str:
    """The validation accuracies of trainings at step 0, where they looked: at every training shot, of all seeds."""
    looks: dict[str, list[str]] = {}
    for record in {record.identity.training: record for record in records}.values():
        at = f" at {shot}-shot" if (shot := record.identity.train_shot) else ""
        kept = "" if record.training.best_step else " (kept: no step did better)"
        first = [f"{look.accuracy:.2f}" for look in record.training.history if look.step == 0]
        looks.setdefault(f"{at}{kept}", []).extend(first)
    return ", ".join(f"{' / '.join(seeds)} %{where}" for where, seeds in looks.items() if seeds)
