"""Two folders of records for the tests of what compares them and of what is written of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsbench.record_files import RecordStore
from fsbench.records import Record
from helpers.factories import make_record

__all__ = ["BASE", "changed", "record", "write", "write_all_verdicts"]

BASE = [50 + 7 * episode % 11 for episode in range(30)]  # correct queries of 75


def changed(*steps: int) -> list[int]:
    """`BASE` with the steps added, over and over."""
    return [right + steps[episode % len(steps)] for episode, right in enumerate(BASE)]


def record(label: str, correct: Sequence[int] = BASE, **facts: Any) -> Record:
    """A finished cell of 30 episodes."""
    return make_record(label, correct, **facts)


def write(folder: Path, *records: Record) -> Path:
    """Write records below a folder, which is returned."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    for one in records:
        RecordStore(folder / "records").write(one)
    return folder


def write_all_verdicts(folder: Path) -> tuple[Path, Path]:
    """Two folders, BASE and NEW, between which every verdict is found."""
    absent = {"fungi": "there are no images of it."}
    labels = ("Dropped", "Unsure", "Better", "Same", "Kept", "Redrawn", "Gone", "Broken", "Later")
    base = [record(label) for label in labels]
    base += [record("Dropped", source="fungi"), *(record("Reseeded", train_seed=seed) for seed in range(3))]
    new = [
        record("Dropped", changed(-4, -6, -5), absent=absent),
        record("Unsure", changed(-9, 8, 0)),
        record("Better", changed(3, 5), method_revision=2),
        record("Same"),
        record("Kept", changed(0, 1, 0, -1, 0)),
        record("Redrawn", episode_set="another"),
        record("Broken"),
        record("Later"),
        record("Fresh"),
        *(record("Reseeded", changed(seed - 4), train_seed=seed) for seed in range(3)),
    ]
    write(folder / "base", *base)
    write(folder / "new", *new)
    _edit(folder / "new", "broken", '"correct"', '"corect"')
    _edit(folder / "new", "later", '"schema_version":2', '"schema_version":3')
    return folder / "base", folder / "new"


def _edit(folder: Path, row: str, old: str, new: str) -> None:
    (path,) = folder.glob(f"records/{row}-*.json")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
