"""The schedule of a training: every number resolved for its shot and its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsbench.episodes.sampler import AnyProtocol, Rules

if TYPE_CHECKING:
    pass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """How a training goes, every number resolved for its shot and its fraction.

    Attributes:
        protocol: The training episodes, or None when training on batches of images.
        size: Tasks, or images, per step.
        pool: Classes whose images a step embeds once for all of its tasks, or None: every task has images of its own.
        seed: Of the initial weights and the training data.
        steps: At most.
        rate: Adam's learning rate.
        halve_every: Steps after which the rate is halved, or None.
        weight_decay: Adam's.
        clip: Largest norm of the gradient, or None.
        validate_every: Steps between looks at the validation episodes.
        patience: Looks without a new best before training stops, or None.
        augment: Whether the training images are augmented.
        rules: Which classes of a source are drawn from.
    """

    protocol: AnyProtocol | None
    size: int
    seed: int
    steps: int
    rate: float
    halve_every: int | None
    weight_decay: float
    clip: float | None
    validate_every: int
    patience: int | None
    augment: bool
    rules: Rules
    pool: int | None = None

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return self.rate * 0.5 ** (step // self.halve_every) if self.halve_every else self.rate
