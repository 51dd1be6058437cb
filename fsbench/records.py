"""Records: what a finished cell leaves."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from fsbench.files.strict import Count, LongText, Percent, StrictModel, Text
from fsbench.identity import CellIdentity
from fsbench.stats.intervals import mean_ci

__all__ = [
    "RECORD_SCHEMA",
    "Cuda",
    "Environment",
    "Pretraining",
    "Record",
    "Track",
    "TrainingSummary",
    "Validation",
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
    step_images: Count | None = None  # that a step of the training embeds; None: none, or they vary, or not recorded
    recipe: Text | None = None  # what `identity.training` would be with training seed 0; None: not recorded
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
    def known_recipe(self) -> str | None:
        """The hash of its training but for the seed; None where it cannot be told."""
        return self.identity.training if self.identity.train_seed == 0 else self.recipe

    @property
    def seen_images(self) -> int | None:
        """Images that the steps of the training embedded, each as often as it was; None: `step_images` is."""
        return None if self.step_images is None else self.training.steps * self.step_images

    @property
    def accuracies(self) -> npt.NDArray[np.float64]:
        """Accuracy of every episode, percent [episodes]."""
        accuracies: npt.NDArray[np.float64] = 100.0 * np.asarray(self.correct) / np.asarray(self.total)
        return accuracies
