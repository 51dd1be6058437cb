"""The plan of a run: from a suite to trainings and cells, each with everything that can change its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fsbench.data.pack import Pack
from fsbench.episodes import SAMPLER, Episodes, Protocol
from fsbench.errors import unknown
from fsbench.files import sha256_json
from fsbench.methods import revision_of
from fsbench.records import CellIdentity
from fsbench.suite import BatchTraining, Row, Suite, at_shot

if TYPE_CHECKING:
    from fsbench.methods.base import Method

__all__ = ["Cell", "EpisodeSet", "Options", "Schedule", "Training", "make_plan", "selected_rows", "test_protocol"]


@dataclass(frozen=True)
class Options:
    """What a run changes of its suite.

    Attributes:
        rows: Rows to run, or all.
        shots: Shots to run, or all.
        episodes: Test episodes, or as many as the suite says.
        seeds: Training seeds 0 to seeds - 1.
        fraction: Of the suite's training length.
        deterministic: Only operations that are reproducible bit by bit.
    """

    rows: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    episodes: int | None = None
    seeds: int = 1
    fraction: float = 1.0
    deterministic: bool = False


@dataclass(frozen=True)
class Schedule:
    """How a training goes, every number resolved for its shot and its fraction.

    Attributes:
        protocol: The training episodes, or None when training on batches of images.
        size: Tasks, or images, per step.
        seed: Of the initial weights and the training data.
        steps: At most.
        rate: Adam's learning rate.
        halve_every: Steps after which the rate is halved, or None.
        weight_decay: Adam's.
        clip: Largest norm of the gradient, or None.
        validate_every: Steps between looks at the validation episodes.
        patience: Looks without a new best before training stops, or None.
        augment: Whether the training images are augmented.
    """

    protocol: Protocol | None
    size: int
    seed: int
    steps: int
    rate: float
    halve_every: int | None
    weight_decay: float
    clip: float | None
    validate_every: int
    patience: int | None
    augment: bool = False

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return self.rate * 0.5 ** (step // self.halve_every) if self.halve_every else self.rate


@dataclass(frozen=True)
class Training:
    """One model to train: a method on a source at a shot with a seed.

    Attributes:
        id: SHA-256 of everything that can change its weights.
        row: The suite's row that defines it.
        method: The method's name.
        params: Its hyper-parameters at this shot.
        source: The training source.
        shot: Of the training episodes; None when training on batches.
        schedule: How it goes.
        validation: The validation episodes.
    """

    id: str
    row: str
    method: str
    params: dict[str, Any]
    source: str
    shot: int | None
    schedule: Schedule
    validation: Protocol

    @property
    def name(self) -> str:
        """A readable file name that no other training has."""
        shot = "" if self.shot is None else f"-{self.shot}shot"
        return f"{self.row}-{self.source.replace(':', '-')}{shot}-seed{self.schedule.seed}-{self.id[:12]}"


@dataclass(frozen=True)
class EpisodeSet:
    """The test episodes of one source and shot, and where they come from: a sampler version, or "file"."""

    protocol: Protocol
    episodes: Episodes
    sampler: str = SAMPLER


@dataclass(frozen=True)
class Cell:
    """One number to measure: a training, evaluated as a row on the test episodes of a source and shot."""

    identity: CellIdentity
    label: str
    training: Training
    episode_set: EpisodeSet


def selected_rows(suite: Suite, options: Options) -> list[str]:
    """The rows of a suite that a run wants, in the suite's order.

    Raises:
        UsageError: A row is wanted that the suite does not have.
    """
    for row in options.rows:
        if row not in suite.methods:
            raise unknown(f"method of the suite {suite.name}", row, suite.methods)
    return [row for row in suite.methods if row in options.rows or not options.rows]


def test_protocol(suite: Suite, options: Options, shot: int) -> Protocol:
    """How the test episodes of a suite are drawn at a shot."""
    wanted = suite.episodes
    return Protocol("test", wanted.way, shot, wanted.queries, options.episodes or wanted.number, wanted.seed)


def make_plan(
    suite: Suite,
    options: Options,
    methods: Mapping[str, type[Method]],
    packs: Mapping[str, Pack],
    episode_sets: Sequence[tuple[str, EpisodeSet]],
) -> list[Cell]:
    """The cells of a run, those of one training side by side.

    Args:
        suite: What to measure.
        options: What the run changes of it.
        methods: The class of every method by its name.
        packs: The pack of every source.
        episode_sets: Test source and episodes of every column.

    Raises:
        UsageError: A row is wanted that the suite does not have.
        SuiteError: A value is not given for a shot.
    """
    cells: dict[str, list[Cell]] = {}
    for seed in range(options.seeds):
        for row in selected_rows(suite, options):
            for source, episode_set in episode_sets:
                training = _training(suite, options, row, episode_set.protocol.shot, seed, methods, packs)
                cell = _cell(suite, options, row, source, episode_set, training, methods, packs)
                cells.setdefault(training.id, []).append(cell)
    return list(itertools.chain.from_iterable(cells.values()))


def _training(
    suite: Suite,
    options: Options,
    row: str,
    test_shot: int,
    seed: int,
    methods: Mapping[str, type[Method]],
    packs: Mapping[str, Pack],
) -> Training:
    owner_name = suite.trained_as(row)
    owner = suite.methods[owner_name]
    spec = owner.training
    assert not isinstance(spec, str)  # the suite's own validation
    episodic = not isinstance(spec, BatchTraining)
    shot = test_shot if episodic else 1

    def value(name: str) -> Any:
        return at_shot(getattr(spec, name), shot, f"methods.{owner_name}.training.{name}")

    def shortened(name: str) -> Any:
        steps = value(name)
        return steps and max(1, round(steps * options.fraction))

    protocol = Protocol("train", value("way"), shot, value("queries"), 0, seed) if episodic else None
    schedule = Schedule(
        protocol=protocol,
        size=value("tasks" if episodic else "batch"),
        seed=seed,
        steps=shortened("steps"),
        rate=value("rate"),
        halve_every=shortened("halve_every"),
        weight_decay=spec.weight_decay,
        clip=spec.clip,
        validate_every=shortened("validate_every"),
        patience=spec.patience,
        augment=spec.augment,
    )
    wanted, looked_at = suite.episodes, suite.validation
    validation = Protocol("val", wanted.way, shot, wanted.queries, looked_at.number, looked_at.seed)
    params = _params(owner_name, owner, shot)
    content = {
        "method": owner.method,
        "revision": revision_of(owner.method, methods[owner.method]),
        "params": params,
        "backbone": suite.backbone.model_dump(),
        "images": suite.images.model_dump(),
        "pack": packs[suite.sources.train].digest,
        "sampler": SAMPLER,
        "schedule": asdict(schedule),
        "validation": asdict(validation),
        "deterministic": options.deterministic,
    }
    source = suite.sources.train
    shot_or_none = shot if episodic else None
    return Training(sha256_json(content), owner_name, owner.method, params, source, shot_or_none, schedule, validation)


def _cell(
    suite: Suite,
    options: Options,
    row: str,
    source: str,
    episode_set: EpisodeSet,
    training: Training,
    methods: Mapping[str, type[Method]],
    packs: Mapping[str, Pack],
) -> Cell:
    entry, protocol, pack = suite.methods[row], episode_set.protocol, packs[source]
    method = methods[entry.method]
    identity = CellIdentity(
        suite=suite.name,
        row=row,
        method=entry.method,
        method_revision=revision_of(entry.method, method),
        params=_params(row, entry, protocol.shot),
        transductive=method.transductive,
        backbone=suite.backbone.model_dump(),
        images=suite.images.model_dump(mode="json"),
        training=training.id,
        train_sources=[training.source],
        train_shot=training.shot,
        train_seed=training.schedule.seed,
        training_fraction=options.fraction,
        source=source,
        pack=pack.digest,
        partial=pack.partial,
        split=protocol.split,
        way=protocol.way,
        shot=protocol.shot,
        queries=protocol.queries,
        episodes=protocol.episodes,
        episode_seed=protocol.seed,
        sampler=episode_set.sampler,
        episode_set=episode_set.episodes.digest,
        deterministic=options.deterministic,
    )
    return Cell(identity, entry.label or method.label, training, episode_set)


def _params(name: str, row: Row, shot: int) -> dict[str, Any]:
    return {key: at_shot(value, shot, f"methods.{name}.params.{key}") for key, value in row.params.items()}
