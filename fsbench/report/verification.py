"""Whether the records of a folder can be believed as far as arithmetic goes, record by record.

A record that verifies is whole, its fields are in their bounds, its mean and interval are those of its counts, its
file has the name of its identity, it counts as many queries as its episodes have, and its episodes are those that this
version draws, where the images or others of the same names are prepared. Nobody can tell from a record that its model
gave these answers; for that, run it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fsbench.data.pack_files import load_pack
from fsbench.errors import DataError, EpisodeError, RecordError
from fsbench.provenance import SUITE_FILE, read_suite_order
from fsbench.record_files import RecordStore, read_record, reading_many
from fsbench.records import Record
from fsbench.report.arrange import column_of
from fsbench.report.contribution import CONTRIBUTION_FILE, read_contribution
from fsbench.report.redrawn import PackAtHand, draw_again, packs_at_hand, protocol_in, shows
from fsbench.report.table import Column

__all__ = ["VERIFICATION_SCHEMA", "CheckedFile", "verification_to_json", "verify_folder"]

VERIFICATION_SCHEMA: Final = "fsbench-verification-1"


@dataclass(frozen=True)
class CheckedFile:
    """What was found of one file.

    Attributes:
        path: The file.
        record: What it holds; None: it cannot be read, or is no record.
        problem: Why it does not verify, in one sentence; None: it does.
        episodes: Whether its episodes are those drawn again; None: they were not drawn, or it is no record.
        unchecked: Why its episodes were not drawn again, in one sentence; None: they were, or it is no record.
    """

    path: Path
    record: Record | None = None
    problem: str | None = None
    episodes: bool | None = None
    unchecked: str | None = None


@dataclass(frozen=True)
class _Episodes:
    """What drawing the episodes of a column again gave: the queries of each, or why there is nothing to compare with.

    `problem` continues a sentence about a record that names them.
    """

    queries: Sequence[int] | None = None
    problem: str | None = None
    unchecked: str | None = None


def verify_folder(folder: Path) -> list[CheckedFile]:
    """Check every record of the out folder of a run, and what lies beside them.

    Returns:
        A file for every record by name, or one for `records` if there are none; before them, for what beside them
        cannot be read.
    """
    checked = []
    for name, read in ((SUITE_FILE, read_suite_order), (CONTRIBUTION_FILE, read_contribution)):
        try:
            read(folder)
        except RecordError as error:
            checked.append(CheckedFile(folder / name, problem=str(error)))
    inner = folder / "records"
    if not (paths := sorted(inner.glob("*.json"))):
        checked.append(CheckedFile(inner, problem=f"there are no records in {inner}; name the out folder of a run."))
    packs = packs_at_hand()
    drawn: dict[tuple[Column, str], _Episodes] = {}
    with reading_many():
        for path in paths:
            try:
                record = read_record(path)
            except RecordError as error:
                checked.append(CheckedFile(path, problem=str(error)))
                continue
            key = column_of(record), record.identity.pack
            if key not in drawn:
                drawn[key] = _episodes(key[0], packs, by_content=record.identity.by_content)
            fault, unchecked = _fault(record, drawn[key]), drawn[key].unchecked
            name = RecordStore(path.parent).path(record.identity).name
            problem = fault if name == path.name else f"has another name than its identity, {name}; give it that name"
            checked.append(
                CheckedFile(
                    path,
                    record,
                    problem and f"the record {path} {problem}.",
                    episodes=None if unchecked else fault is None,
                    unchecked=unchecked,
                )
            )
    return checked


def verification_to_json(checked: Iterable[CheckedFile]) -> dict[str, Any]:
    """What was found, for programs; `episodes` is null where nothing was there to compare with."""
    files = [
        {
            "file": str(file.path),
            "cell": file.record and file.record.cell,
            "verifies": file.problem is None,
            "problem": file.problem,
            "episodes": file.episodes,
            "unchecked": file.unchecked,
        }
        for file in checked
    ]
    return {"schema": VERIFICATION_SCHEMA, "verifies": all(entry["verifies"] for entry in files), "files": files}


def _fault(record: Record, episodes: _Episodes) -> str | None:
    """What is wrong with the episodes of a record, to continue a sentence about it."""
    identity = record.identity
    if identity.way is not None and identity.queries is not None:
        asked = identity.way * identity.queries
        if other := [total for total in record.total if total != asked]:
            return f"counts {other[0]:,} queries in an episode of {identity.way} classes with {identity.queries} each"
    if episodes.problem:
        return episodes.problem
    if episodes.queries is not None and list(record.total) != list(episodes.queries):
        return "counts other numbers of queries than its episodes have"
    return None


def _episodes(column: Column, packs: Mapping[str, PackAtHand], *, by_content: bool) -> _Episodes:
    """Draw the episodes of a column from the pack that its records name, or from another one of the same images."""
    protocol = protocol_in(column)
    if protocol.sampler != column.sampler:
        return _Episodes(
            unchecked=f"{column.source}: the episodes were drawn by {column.sampler}, and this version draws by "
            f"{protocol.sampler}."
        )
    exact = packs.get(column.pack)
    others = [pack for pack in packs.values() if pack.source == column.source] if by_content else []
    for at_hand in [exact] if exact else others:
        try:
            pack = load_pack(at_hand.folder)
            drawn = draw_again(column, pack)
            same = shows(column, pack, drawn)
        except DataError:
            continue
        except EpisodeError as error:
            if exact:
                return _Episodes(problem=f"names episodes that cannot be drawn ({str(error).rstrip('.')})")
            continue
        if same:
            return _Episodes(
                [number for block in drawn.blocks for number in [block.query_images.shape[1]] * len(block)]
            )
        if exact:
            return _Episodes(
                problem=f"names episodes (hash {column.episode_set[:12]}) that {protocol.sampler} does not draw from "
                f"the images of {column.source}"
            )
    return _Episodes(
        unchecked=f"{column.source}: the images (pack {column.pack[:12]}) are not prepared on this machine."
    )
