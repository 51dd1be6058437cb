"""Records: what a finished cell leaves on disk, and the store that keeps them whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from fsbench.errors import NewerRecordError, RecordError
from fsbench.files import sha256_json, write_atomic

__all__ = [
    "RECORD_SCHEMA",
    "CellIdentity",
    "Environment",
    "Record",
    "RecordStore",
    "TrainingSummary",
    "Validation",
    "cell_id",
    "read_record",
]

RECORD_SCHEMA: Final = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CellIdentity(_Model):
    """Everything that can change the number of a cell, apart from the arithmetic of the machine.

    Two records with the same identity measure the same thing; a record is reused for a cell only if
    their identities are equal. Device, thread count and library versions are in `Environment`.
    """

    suite: str
    row: str  # the key of the row in the suite file, e.g. "relation-transductive"
    method: str  # the method's name, e.g. "relation"
    method_revision: int | str  # raised when the same hyper-parameters would give other numbers
    params: dict[str, Any]  # every hyper-parameter of the method
    transductive: bool
    backbone: dict[str, Any]
    images: dict[str, Any]  # size, channels, mean, std
    training: str  # hash of the training
    train_sources: list[str]
    train_shot: int | None  # None: trained without episodes
    train_seed: int
    training_fraction: float  # 1: the length that the suite states
    source: str  # the test source
    pack: str  # its digest
    partial: str | None
    split: str
    way: int | None  # None: way, shot and queries vary from episode to episode
    shot: int | None
    queries: int | None  # per class
    episodes: int
    episode_seed: int
    sampler: str
    episode_set: str  # SHA-256 of the episodes' indices
    deterministic: bool
    # Later fields: while they have their default they do not enter the hash, so that older records keep their names.
    tracks: Literal["apart", "shared", "unknown"] | None = None  # of support and query; None: a source without tracks
    classes_left_out: int = 0  # of the split, having too few images
    initialised_from: str | None = None  # the row whose backbone the training started from


_LATER = ("tracks", "classes_left_out", "initialised_from")


class Validation(_Model):
    """One look at the validation episodes during a training."""

    step: int
    loss: float  # mean training loss since the last look
    accuracy: float  # percent, on the validation episodes


class TrainingSummary(_Model):
    """How the model of a cell was trained."""

    steps: int  # steps taken
    planned_steps: int
    best_step: int  # the step whose weights were kept, chosen on validation episodes
    best_accuracy: float  # percent, validation
    stopped_early: bool
    parameters: int  # trainable
    history: list[Validation]


class Environment(_Model):
    """Where a cell was computed; it does not enter the identity."""

    fsbench: str
    commit: str | None
    python: str
    torch: str
    numpy: str
    platform: str
    device: str
    threads: int


class Record(_Model):
    """A finished cell."""

    schema_version: Literal[1] = RECORD_SCHEMA
    cell: str  # hash of the identity
    status: Literal["complete"] = "complete"
    label: str  # the row's name in tables, e.g. "ProtoNet"
    backbone_label: str  # e.g. "Conv4-64"
    identity: CellIdentity
    features: int | None = None  # numbers that the backbone makes of an image
    absent: dict[str, str] = Field(default_factory=dict)  # sources of the suite that were left out, and why
    train_partial: dict[str, str] = Field(default_factory=dict)  # training sources that are incomplete, and how
    correct: list[NonNegativeInt]  # of every episode, correctly classified queries
    total: list[Annotated[int, Field(ge=1, lt=2**53)]]  # of every episode, queries
    mean: float  # accuracy over episodes, percent
    ci95: float  # half width of the 95 % confidence interval of the mean, percent
    training: TrainingSummary
    environment: Environment
    timings: dict[str, float] = Field(default_factory=dict)  # seconds; the only part that differs between equal runs

    @model_validator(mode="after")
    def _counts_fit(self) -> Record:
        if not len(self.correct) == len(self.total) == self.identity.episodes:
            raise ValueError("correct and total need a number for every episode")
        if any(right > asked for right, asked in zip(self.correct, self.total, strict=True)):
            raise ValueError("more queries are correct than there are")
        return self

    @property
    def accuracies(self) -> list[float]:
        """Accuracy of every episode, percent."""
        return [100.0 * right / asked for right, asked in zip(self.correct, self.total, strict=True)]


class RecordStore:
    """The records of one out folder, one JSON file a cell.

    A file counts only if it is whole: its checksum fits, its identity hashes to its name, its schema is
    known. That a file exists means nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, identity: CellIdentity) -> Path:
        """Where the record of a cell lies: readable name first, then the hash of its identity."""
        kind = "variable" if identity.way is None else f"{identity.way}way-{identity.shot}shot"
        slug = f"{identity.row}-{identity.source}-{kind}-seed{identity.train_seed}"
        return self.folder / f"{slug}-{cell_id(identity)[:12]}.json"

    def write(self, record: Record) -> Path:
        """Write a record in one step and return its path.

        Raises:
            OutputError: The folder cannot be written.
        """
        content = record.model_dump(mode="json")
        content["checksum"] = sha256_json(content)
        path = self.path(record.identity)
        write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return path

    def find(self, identity: CellIdentity) -> Record | None:
        """The finished record of a cell, or None when there is none.

        Raises:
            RecordError: There is a file, but it is damaged.
            NewerRecordError: A later version of fsbench wrote it.
        """
        path = self.path(identity)
        if not path.exists():
            return None
        record = read_record(path)
        if record.identity != identity:
            raise RecordError(f"the record {path} belongs to another cell; move it away and run again.")
        return record

    def set_aside(self, identity: CellIdentity) -> Path:
        """Rename a damaged record to `.corrupt` and return its new path."""
        path = self.path(identity)
        return path.rename(path.with_suffix(".json.corrupt"))


def cell_id(identity: CellIdentity) -> str:
    """SHA-256 of a cell's identity."""
    content = identity.model_dump(mode="json")
    defaults = {name: CellIdentity.model_fields[name].default for name in _LATER}
    return sha256_json({key: value for key, value in content.items() if key not in _LATER or value != defaults[key]})


def read_record(path: Path) -> Record:
    """Read one record and check it.

    Raises:
        RecordError: It is damaged.
        NewerRecordError: A later version of fsbench wrote it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if isinstance(version, int) and version > RECORD_SCHEMA:
            raise NewerRecordError(
                f"the record {path} has schema {version}, newer than {RECORD_SCHEMA}; update fsbench."
            )
        checksum = content.pop("checksum")
        if sha256_json(content) != checksum:
            raise RecordError(f"the record {path} is damaged (its checksum does not fit its content).")
        record = Record.model_validate(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"the record {path} is damaged ({type(error).__name__}).") from error
    if record.cell != cell_id(record.identity):
        raise RecordError(f"the record {path} is damaged (its identity does not fit its name).")
    return record
