"""The schedule of a training: every number resolved for its shot and its length."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fsbench.episodes import pooled
from fsbench.episodes.sampler import AnyProtocol, Rules

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

    def identity(self) -> dict[str, Any]:
        """What of it enters the training's identity, in JSON's types.

        Written out field by field, so that a field that is renamed, or added with a default that changes nothing,
        leaves the identities of older trainings as they are.
        """
        pool = {} if self.pool is None else {"pool": {"classes": self.pool, "sampler": pooled.SAMPLER}}
        return pool | {
            "protocol": self.protocol and asdict(self.protocol),
            "size": self.size,
            "seed": self.seed,
            "steps": self.steps,
            "rate": self.rate,
            "halve_every": self.halve_every,
            "weight_decay": self.weight_decay,
            "clip": self.clip,
            "validate_every": self.validate_every,
            "patience": self.patience,
            "augment": self.augment,
            "rules": {"leave_out": self.rules.leave_out, "tracks_apart": self.rules.tracks_apart},
        }
