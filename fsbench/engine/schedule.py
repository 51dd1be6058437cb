"""The schedule of a training: every number resolved for its shot and its length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fsbench.episodes import pooled
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules
from fsbench.recipe import BatchTraining, EpisodicTraining, PerShot, at_shot

__all__ = ["Schedule", "make_schedule"]

_LEAST_HALVING = 1000  # steps; in a shortened training the rate is not halved more often, or it would be 0 at once


@dataclass(frozen=True)
class Schedule:
    """How a training goes, every number resolved for its shot and its fraction.

    Attributes:
        protocol: The training episodes, or None when training on batches of images.
        size: Tasks, or images, per step.
        pool: Classes whose images a step embeds once for all of its tasks, or None: every task has images of its own.
        seed: Of the initial weights and the training data.
        steps: At most.
        rate: The optimiser's learning rate, or the highest one.
        halve_every: Steps after which the rate is halved, or None.
        weight_decay: The optimiser's; decoupled of "adamw".
        clip: Largest norm of the gradient, or None.
        validate_every: Steps between looks at the validation episodes.
        patience: Looks without a new best before training stops, or None.
        augment: Whether the training images are augmented: with colours, or "crop" and flip alone.
        rules: Which classes of a source are drawn from.
        optimiser: "adam", "adamw" or "sgd".
        betas: Of "adam" and "adamw".
        momentum: Of "sgd".
        nesterov: Whether that momentum is Nesterov's.
        rate_shape: "constant"; "cosine" falls to 0 along half a cosine; "one-cycle" first rises in a straight line.
        warm_up: Steps of that rise.
        milestones: Steps from which on the rate is multiplied by `milestone_factor` once more.
        milestone_factor: See there.
        clip_value: Largest absolute value in the gradient, cut before `clip`; or None.
        sizes: Height and width of the training images, pixels, each with the first step that sees it; empty: that of
            the stores throughout.
        recompute_statistics: Images for new running statistics before every look at the validation episodes, or None.
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
    augment: bool | Literal["crop"]
    rules: Rules
    pool: int | None = None
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    nesterov: bool = False
    rate_shape: Literal["constant", "cosine", "one-cycle"] = "constant"
    warm_up: int = 0
    milestones: tuple[int, ...] = ()
    milestone_factor: float = 0.1
    clip_value: float | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    recompute_statistics: int | None = None

    @property
    def step_images(self) -> int | None:
        """Images that a step embeds; None: they vary."""
        if self.protocol is None:
            return self.size
        way, shot, queries = self.protocol.way, self.protocol.shot, self.protocol.queries
        if way is None or shot is None or queries is None:
            return None
        return (self.size * way if self.pool is None else self.pool) * (shot + queries)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rate = self.rate * 0.5 ** (step // self.halve_every) if self.halve_every else self.rate
        rate *= self.milestone_factor ** sum(step >= milestone for milestone in self.milestones)
        if step < self.warm_up:
            return rate * (step + 1) / self.warm_up
        if self.rate_shape == "constant":
            return rate
        return rate * (1 + math.cos(math.pi * (step - self.warm_up) / (self.steps - self.warm_up))) / 2

    def size_at(self, step: int) -> int | None:
        """Height and width of the training images of a step, counted from 0, pixels; None: as the stores have them."""
        return next((size for size, first in reversed(self.sizes) if step >= first), None)

    def phases(self, start: int) -> Iterator[tuple[int, int | None, int | None]]:
        """The first step, the step after the last (None: no end) and the image size of every phase from `start` on."""
        firsts = [start, *(first for _, first in self.sizes if first > start)]
        for first, stop in zip(firsts, [*firsts[1:], None], strict=True):
            yield first, stop, self.size_at(first)

    def identity(self) -> dict[str, Any]:
        """What of it enters the training's identity, in JSON's types.

        Written out field by field, so that a field that is renamed, or added with a default that changes nothing,
        leaves the identities of older trainings as they are. What the optimiser or the shape makes no use of stays out.
        """
        identity: dict[str, Any] = {
            "protocol": self.protocol and self.protocol.identity(),
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
        if self.pool is not None:
            identity["pool"] = {"classes": self.pool, "sampler": pooled.SAMPLER}
        if self.optimiser != "adam":
            identity["optimiser"] = self.optimiser
        if self.betas != (0.9, 0.999):
            identity["betas"] = list(self.betas)
        if self.momentum:
            identity |= {"momentum": self.momentum, "nesterov": self.nesterov}
        if self.rate_shape != "constant":
            identity |= {"rate_shape": self.rate_shape, "warm_up": self.warm_up}
        if self.milestones:
            identity |= {"milestones": list(self.milestones), "milestone_factor": self.milestone_factor}
        if self.clip_value is not None:
            identity["clip_value"] = self.clip_value
        if self.sizes:
            identity["sizes"] = [list(phase) for phase in self.sizes]
        if self.recompute_statistics is not None:
            identity["recompute_statistics"] = self.recompute_statistics
        return identity


def make_schedule(
    spec: EpisodicTraining | BatchTraining,
    row: str,
    *,
    shot: int | None,
    seed: int,
    fraction: float,
    image_size: int,
    protocol: AnyProtocol | None,
    rules: Rules,
    pool: int | None = None,
) -> Schedule:
    """What a row's training comes to at a shot.

    In a shortened training all that is given in shares of the steps is shortened with it, and so is the time between
    two halvings of the rate, but not below 1000 steps.

    Args:
        spec: The training in the suite.
        row: Whose it is, for messages.
        shot: Of its episodes; 1 if it has none; None for variable shots.
        seed: Of the initial weights and the training data.
        fraction: Of the suite's training length.
        image_size: The suite's, pixels.
        protocol: The training episodes, if it has any.
        rules: Which classes of a source are drawn from.
        pool: Classes that a step embeds once for all of its tasks, or None.

    Raises:
        SuiteError: A value is not given for the shot.
    """

    def steps(whole: int) -> int:
        return max(1, round(whole * fraction))

    def value(given: PerShot[Any], name: str) -> Any:
        return at_shot(given, shot, f"methods.{row}.training.{name}")

    total = steps(value(spec.steps, "steps"))
    halve_every: int | None = value(spec.halve_every, "halve_every")
    if halve_every is not None:
        halve_every = max(steps(halve_every), min(halve_every, _LEAST_HALVING))
    small: list[tuple[int, float]] = value(spec.small_first, "small_first") or []
    phases = [(size, share) for size, share in small if size < image_size]
    bounds = [round(total * sum(share for _, share in phases[:index])) for index in range(len(phases) + 1)]
    spans = zip([*(size for size, _ in phases), image_size], itertools.pairwise([*bounds, total]), strict=True)
    sizes = tuple((size, first) for size, (first, stop) in spans if first < stop) if phases else ()
    return Schedule(
        protocol=protocol,
        size=value(spec.tasks, "tasks") if isinstance(spec, EpisodicTraining) else spec.batch,
        seed=seed,
        steps=total,
        rate=value(spec.rate, "rate"),
        halve_every=halve_every,
        weight_decay=spec.weight_decay,
        clip=spec.clip,
        validate_every=steps(value(spec.validate_every, "validate_every")),
        patience=spec.patience,
        augment=spec.augment,
        rules=rules,
        pool=pool,
        optimiser=spec.optimiser,
        betas=spec.betas,
        momentum=spec.momentum,
        nesterov=spec.nesterov,
        rate_shape=spec.rate_shape,
        warm_up=round(spec.warm_up * total) if spec.rate_shape == "one-cycle" else 0,
        milestones=tuple(round(share * total) for share in spec.milestones),
        milestone_factor=spec.milestone_factor,
        clip_value=spec.clip_value,
        sizes=sizes,
        recompute_statistics=spec.recompute_statistics,
    )
