"""Many result folders side by side: a ranking for all rows that saw the very same episodes and are of one track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fsbench.errors import RecordError
from fsbench.files.atomic import sha256_json
from fsbench.records import Record, Track
from fsbench.report.arrange import column_of, measure, of_one_recipe
from fsbench.report.contribution import Contribution, read_contribution
from fsbench.report.table import Column
from fsbench.report.verification import CheckedFile, verify_folder
from fsbench.stats.intervals import Interval
from fsbench.stats.paired import paired_ranks
from fsbench.stats.ranks import metadataset_ranks

__all__ = ["Entrant", "Folder", "Ranking", "Verified", "rankings", "read_folder"]

Verified: TypeAlias = Literal["yes", "counts", "no"]  # counts: all but the episodes


@dataclass(frozen=True)
class Folder:
    """One contribution: the out folder of a run, what stands beside its records, and what was found of its files."""

    path: Path
    contribution: Contribution | None
    checked: tuple[CheckedFile, ...]

    @property
    def records(self) -> list[Record]:
        """All records that can be read."""
        return [file.record for file in self.checked if file.record is not None]


@dataclass(frozen=True)
class Entrant:
    """A row of a folder in one ranking.

    Attributes:
        folder: Where its records lie.
        records: One a training seed, ascending.
        accuracy: Mean and half width of its 95 % interval, percent.
        verified: Whether all its records verify.
        apart: Why it is not ranked; None: it is.
        rank: By Meta-Dataset's rule.
        best: Whether no other ranked row is significantly better.
    """

    folder: Folder
    records: tuple[Record, ...]
    accuracy: Interval
    verified: Verified
    apart: str | None = None
    rank: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Ranking:
    """Rows that may be compared: of the same episodes and track, the ranked ones first, the best first."""

    column: Column
    track: Track
    entrants: tuple[Entrant, ...]


def read_folder(path: Path) -> Folder:
    """Read and check the out folder of a run; what fails is said of each file."""
    checked = verify_folder(path)
    try:
        contribution = read_contribution(path)
    except RecordError:  # said of its file
        contribution = None
    return Folder(path, contribution, tuple(checked))


def rankings(folders: Sequence[Folder]) -> list[Ranking]:
    """All rankings, by source, shot, way, episodes (most first) and track.

    Of records that repeat a cell of an earlier folder, and of images whose pixels differ from those of the first
    record of that size, the first folder counts.

    Raises:
        RecordError: No folder has a record that can be read.
    """
    if not any(folder.records for folder in folders):
        named = ", ".join(str(folder.path) for folder in folders)
        raise RecordError(f"there are no records to rank in {named}; `fsbench verify` says why.")
    groups: dict[tuple[Column, str, Track], list[Entrant]] = {}
    for folder in folders:
        for records in _rows(folder):
            first = records[0]
            # Records of schema 1 name their episodes by indices, which say the same of one pack only.
            pack = "" if first.identity.by_content else first.identity.pack
            entrant = Entrant(folder, records, measure(records), _verified(folder, records))
            groups.setdefault((column_of(first), pack, first.track), []).append(entrant)
    found = [Ranking(column, track, _ranked(entrants)) for (column, _, track), entrants in groups.items()]
    return sorted(found, key=_order)


def _order(ranking: Ranking) -> tuple[Any, ...]:
    column = ranking.column
    kind = (column.shot is None, column.way is None)
    setting = (*kind, column.shot or 0, column.way or 0)
    return column.source, *setting, -column.episodes, column.episode_set, ranking.track


def _rows(folder: Folder) -> list[tuple[Record, ...]]:
    """Records that differ in their training seed alone, together; of one seed twice or of two trainings, each alone.

    Files that fail beside others that verify with the same cells are no part of these rows.
    """
    whole = {file.record.cell for file in folder.checked if file.record and not file.problem}
    rows: dict[str, list[Record]] = {}
    for file in folder.checked:
        if record := file.record:
            copied = file.problem is not None and record.cell in whole
            rows.setdefault(sha256_json([record.identity.but_for_seed, record.track, copied]), []).append(record)
    found: list[tuple[Record, ...]] = []
    for several in rows.values():
        several.sort(key=lambda record: record.identity.train_seed)
        alone = len({record.identity.train_seed for record in several}) < len(several) or not of_one_recipe(several)
        found += [(record,) for record in several] if alone else [tuple(several)]
    return found


def _verified(folder: Folder, records: Sequence[Record]) -> Verified:
    files = set(map(id, records))  # not their cells: a copy of a file has the same, and may fail alone
    checked = [file for file in folder.checked if id(file.record) in files]
    if any(file.problem for file in checked):
        return "no"
    return "counts" if any(file.unchecked for file in checked) else "yes"


def _ranked(entrants: Sequence[Entrant]) -> tuple[Entrant, ...]:
    """Rank those that can be, and say of the others why not."""
    owners: dict[str, Folder] = {}
    packs: dict[int, str] = {}
    sorted_out = []
    for entrant in entrants:
        apart = _apart(entrant, owners, packs)
        if apart is None:
            identity = entrant.records[0].identity
            owners |= {record.cell: entrant.folder for record in entrant.records}
            packs.setdefault(_seen_size(entrant), identity.pack)
        sorted_out.append(replace(entrant, apart=apart))
    ranked = {str(place): entrant for place, entrant in enumerate(sorted_out) if entrant.apart is None}
    ranks: Mapping[str, float] = {}
    leaders: set[str] = set()
    if ranked:
        ranks = metadataset_ranks(
            {name: entrant.accuracy.mean for name, entrant in ranked.items()},
            {name: entrant.accuracy.half_width for name, entrant in ranked.items()},
        )
        tested = paired_ranks({name: entrant.records for name, entrant in ranked.items()})
        leaders = {name for name, rank in tested.items() if rank == min(tested.values())}
    placed = [replace(entrant, rank=ranks[name], best=name in leaders) for name, entrant in ranked.items()]
    others = [entrant for entrant in sorted_out if entrant.apart is not None]
    return tuple(
        sorted(placed, key=lambda entrant: (entrant.rank, -entrant.accuracy.mean))
        + sorted(others, key=lambda entrant: -entrant.accuracy.mean)
    )


def _apart(entrant: Entrant, owners: Mapping[str, Folder], packs: Mapping[int, str]) -> str | None:
    """Why a row is not ranked, given the folders of the cells before it and the packs of their images by size."""
    identity = entrant.records[0].identity
    if entrant.verified == "no":
        return "does not verify"
    if identity.transductive:
        return "transductive"
    if any(record.identity.training_fraction != 1 for record in entrant.records):
        return "not the whole training"
    if (owner := next((owners[record.cell] for record in entrant.records if record.cell in owners), None)) is not None:
        return f"repeats records of {owner.path.resolve().name}"
    if packs.get(_seen_size(entrant), identity.pack) != identity.pack:
        return f"other pixels (pack {identity.pack[:12]})"
    return None


def _seen_size(entrant: Entrant) -> int:
    """The size at which the images were prepared, pixels."""
    images = entrant.records[0].identity.images
    return int(images.get("enlarged_from", images["size"]))
