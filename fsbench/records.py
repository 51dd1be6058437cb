"""Records: what a finished cell leaves."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from fsbench.files.atomic import sha256_json
from fsbench.files.strict import Count, LongText, Number, Percent, Seed, StrictModel, Text
from fsbench.stats.intervals import mean_ci

__all__ = [
    "RECORD_SCHEMA",
    "CellIdentity",
    "Cuda",
    "Environment",
    "Pretraining",
    "Record",
    "Track",
    "TrainingSummary",
    "Validation",
    "cell_id",
]

RECORD_SCHEMA: Final = 2


def _packed(counts: Iterable[int]) -> array[int]:
    try:
        return array("q", counts)
    except (TypeError, OverflowError) as error:
        raise ValueError("counts are whole numbers below 2**63") from error


# Packed, counts are cheap to check and to compute with, and the garbage collector need not visit every one of them.
_Counts: TypeAlias = Annotated[
    Sequence[int],
    PlainValidator(_packed),
    PlainSerializer(list),
    WithJsonSchema({"type": "array", "items": {"type": "integer"}}),
]

# A: trained here, on the suite's own classes. B: trained elsewhere, without known overlap with the test classes.
# C: with overlap, or it is not known.
Track: TypeAlias = Literal["A", "B", "C"]


class _Images(BaseModel):
    """What must be known of `CellIdentity.images`, which stays as it was written, since it is hashed."""

    size: Number
    channels: Number


def _check_images(images: dict[str, Any]) -> dict[str, Any]:
    _Images.model_validate(images, strict=True)
    return images


class CellIdentity(StrictModel):
    """Everything that can change the number of a cell, apart from the arithmetic of the machine.

    Two records with the same identity measure the same thing; a record is reused for a cell only if
    their identities are equal. Device, thread count and library versions are in `Environment`.

    Records of schema 1 know no revisions of engine and backbone, and their `episode_set` is of the episodes'
    indices in the pack.
    """

    suite: Text
    row: Text  # the key of the row in the suite file, e.g. "relation-transductive"
    method: LongText  # the method's name, e.g. "relation"
    method_revision: Count | Text  # raised when the same hyper-parameters would give other numbers
    params: dict[str, Any]  # every hyper-parameter of the method
    transductive: bool
    backbone: dict[str, Any]
    images: Annotated[dict[str, Any], AfterValidator(_check_images)]  # size, channels, mean, std
    training: Text  # hash of the training
    train_sources: list[Text]  # none: it was not trained here
    train_shot: Number | None  # None: trained without episodes
    train_seed: Seed
    training_fraction: Annotated[float, Field(gt=0, le=1)]  # 1: the length that the suite states
    source: Text  # the test source
    pack: Text  # its digest
    partial: LongText | None
    split: Text
    way: Number | None  # None: way, shot and queries vary from episode to episode; beside a shot: all classes
    shot: Number | None
    queries: Number | None  # per class
    episodes: Count
    episode_seed: Seed
    sampler: Text
    episode_set: Text  # SHA-256 of what the episodes show, as `fsbench.episodes.content` has it
    deterministic: bool
    # Later fields: while they have their default they do not enter the hash, so that older records keep their names.
    tracks: Literal["apart", "shared", "unknown"] | None = None  # of support and query; None: a source without tracks
    classes_left_out: Count = 0  # of the split, having too few images
    initialised_from: Text | None = None  # the row whose backbone the training started from
    engine: Count | None = None  # the revision of training and evaluation
    backbone_revision: Count | Text | None = None

    @property
    def by_content(self) -> bool:
        """Whether `episode_set` tells what the episodes show, at whatever size of the images."""
        return self.engine is not None


_ROUNDING = 1e-9  # percent
_Seconds: TypeAlias = Annotated[float, Field(ge=0)]


class Validation(StrictModel):
    """One look at the validation episodes during a training."""

    step: Count
    loss: float | None  # mean training loss since the last look; None before the first step
    accuracy: Percent  # on the validation episodes


class TrainingSummary(StrictModel):
    """How the model of a cell was trained."""

    steps: Count  # steps taken
    planned_steps: Count
    best_step: Count  # the step whose weights were kept, chosen on validation episodes
    best_accuracy: Percent | None  # on the validation episodes; None: there was no training
    stopped_early: bool
    parameters: Count  # trained
    frozen: Count = 0  # parameters that were not trained
    history: list[Validation]
    precision: Literal["fp32", "bf16"] | None = None  # bf16: of backbones, in some steps; None: not said, was fp32
    commits: list[Text] = Field(default_factory=list)  # of the checkouts that took its steps; empty: not recorded
    weights: Text | None = None  # SHA-256 of those that were kept; None: not recorded
    start: Text | None = None  # that of the training which it started from; None: there is none, or not recorded


class Pretraining(StrictModel):
    """What is known of a backbone that was trained elsewhere, and of what it has seen of a cell's test classes."""

    corpora: list[Text]  # empty: unknown
    overlap: LongText  # with the test classes, in words
    library: LongText  # name and version of what built it, or what a file of features says; empty: a file of code
    fingerprint: list[float]  # of its features, as in `fsbench.backbones.fingerprint`


class Cuda(StrictModel):
    """What the arithmetic of a GPU depends on beside torch."""

    runtime: Text | None  # of CUDA, e.g. "12.8"
    cudnn: Text | None  # e.g. "9.10.2"
    driver: Text | None  # None: the system does not say
    tf32: bool  # whether convolutions might use it


class Environment(StrictModel):
    """Where a cell was computed; it does not enter the identity."""

    fsbench: Text
    commit: Text | None
    python: Text
    torch: Text
    numpy: Text
    platform: Text
    device: Text
    threads: Count
    cuda: Cuda | None = None  # None: a CPU


class Record(StrictModel):
    """A finished cell."""

    schema_version: Literal[1, 2] = RECORD_SCHEMA
    cell: Text  # hash of the identity
    status: Literal["complete"] = "complete"
    label: Text  # the row's name in tables, e.g. "ProtoNet"
    backbone_label: Text  # e.g. "Conv4-64"
    deviates: LongText | None = None  # in what the row deviates from the training of its paper, as its suite says
    identity: CellIdentity
    features: Annotated[int, Field(ge=1, lt=2**53)] | None = None  # numbers that the backbone makes of an image
    declared: list[Literal["names_matter", "order_matters"]] = Field(default_factory=list)  # that answers depend on
    absent: dict[Text, LongText] = Field(default_factory=dict)  # sources of the suite that were left out, and why
    train_partial: dict[Text, LongText] = Field(default_factory=dict)  # training sources that are incomplete, and how
    track: Track = "A"  # what its weights may have seen of the test classes
    pretraining: Pretraining | None = None  # None: its backbone was trained here
    correct: _Counts  # of every episode, correctly classified queries
    total: _Counts  # of every episode, queries
    mean: float  # accuracy over episodes, percent
    ci95: float  # half width of the 95 % confidence interval of the mean, percent
    training: TrainingSummary
    environment: Environment
    timings: dict[Text, _Seconds] = Field(default_factory=dict)  # the only part that differs between equal runs

    @model_validator(mode="after")
    def _counts_fit(self) -> Record:
        if not 1 < len(self.correct) == len(self.total) == self.identity.episodes:
            raise ValueError("correct and total need a number for every episode, and at least two")
        correct, total = np.asarray(self.correct), np.asarray(self.total)
        if not ((correct >= 0) & (correct <= total) & (total >= 1) & (total < 2**53)).all():
            raise ValueError("an episode has queries, of which none to all are correct")
        found = mean_ci(self.accuracies)
        if abs(self.mean - found.mean) > _ROUNDING or abs(self.ci95 - found.half_width) > _ROUNDING:
            raise ValueError("the mean and its interval are not those of the episodes")
        return self

    @property
    def accuracies(self) -> npt.NDArray[np.float64]:
        """Accuracy of every episode, percent [episodes]."""
        accuracies: npt.NDArray[np.float64] = 100.0 * np.asarray(self.correct) / np.asarray(self.total)
        return accuracies


def cell_id(identity: CellIdentity) -> str:
    """SHA-256 of a cell's identity.

    The keys are written out: they are those of the first records, whatever the attributes are called now. What
    came later enters only where it is not what was before it came, so that no older record loses its name.
    """
    content = {
        "suite": identity.suite,
        "row": identity.row,
        "method": identity.method,
        "method_revision": identity.method_revision,
        "params": identity.params,
        "transductive": identity.transductive,
        "backbone": identity.backbone,
        "images": identity.images,
        "training": identity.training,
        "train_sources": identity.train_sources,
        "train_shot": identity.train_shot,
        "train_seed": identity.train_seed,
        "training_fraction": identity.training_fraction,
        "source": identity.source,
        "pack": identity.pack,
        "partial": identity.partial,
        "split": identity.split,
        "way": identity.way,
        "shot": identity.shot,
        "queries": identity.queries,
        "episodes": identity.episodes,
        "episode_seed": identity.episode_seed,
        "sampler": identity.sampler,
        "episode_set": identity.episode_set,
        "deterministic": identity.deterministic,
    }
    later = {
        "tracks": (identity.tracks, None),
        "classes_left_out": (identity.classes_left_out, 0),
        "initialised_from": (identity.initialised_from, None),
        "engine": (identity.engine, None),
        "backbone_revision": (identity.backbone_revision, None),
    }
    return sha256_json(content | {key: value for key, (value, before) in later.items() if value != before})
