"""The plan of a run: from a suite to trainings and cells, each with everything that can change its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fsbench.backbones.registry import backbone_revision
from fsbench.backbones.specification import BackboneSpec
from fsbench.data.pack import Pack
from fsbench.engine.revision import ENGINE
from fsbench.engine.schedule import Schedule, make_schedule
from fsbench.episodes.content import content_digest
from fsbench.episodes.fixed import SAMPLER
from fsbench.episodes.kshot import SHOTS, SUPPORT_SETS
from fsbench.episodes.protocol import AnyEpisodes, AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler, protocol_of
from fsbench.episodes.variable import SAMPLER as VARIABLE_SAMPLER
from fsbench.errors import SuiteError, UsageError, unknown
from fsbench.files.atomic import sha256_json
from fsbench.methods.registry import load_method, revision_of
from fsbench.recipe import VARIABLE, BatchTraining, PerShot, at_shot
from fsbench.records import CellIdentity
from fsbench.run.frozen import Untrained
from fsbench.setting import ProtocolName, row_label
from fsbench.suite import Row, Suite

if TYPE_CHECKING:
    from fsbench.backbones.pretrained import Pretrained
    from fsbench.engine.precision import Precision
    from fsbench.methods.base import Method

__all__ = ["Cell", "EpisodeSet", "Options", "Training", "make_plan", "protocols_of", "selected_rows"]


@dataclass(frozen=True)
class Options:
    """What a run changes of its suite.

    Attributes:
        rows: Rows to run, or all.
        protocol: "fixed": as the suite says; "variable": Meta-Dataset's variable ways and shots, in training,
            validation and test; "k-shot": tests with all classes and on the whole test set.
        shots: Shots to run, or all.
        episodes: Test episodes, or as many as the suite says.
        seeds: Training seeds 0 to seeds - 1.
        fraction: Of the suite's training length.
        deterministic: Only operations that are reproducible bit by bit.
        precision: Of training, "auto", "fp32" or "bf16"; only one that is asked for enters the training's identity.
            Frozen backbones compute in bf16 only where it is asked for.
        split: Of the episodes; those of "val" have the number and the seed of the suite's validation.
    """

    rows: tuple[str, ...] = ()
    protocol: ProtocolName = "fixed"
    shots: tuple[int, ...] = ()
    episodes: int | None = None
    seeds: int = 1
    fraction: float = 1.0
    deterministic: bool = False
    precision: Precision = "auto"
    split: Literal["val", "test"] = "test"

    @property
    def variable(self) -> bool:
        """Whether ways and shots vary, and with them the shapes of what one step is given."""
        return self.protocol == "variable"


@dataclass(frozen=True)
class Training:
    """One model to train: a method on one or more sources at a shot with a seed.

    Attributes:
        id: SHA-256 of everything that can change its weights.
        row: The suite's row that defines it.
        method: The method's name.
        backbone: Of its model.
        params: Its hyper-parameters at this shot.
        sources: The training sources.
        validation_source: The source of the validation episodes.
        shot: Of the training episodes; None when training on batches, or on variable shots.
        schedule: How it goes.
        validation: The validation episodes.
        starts_from: The training whose backbone it starts from, or None.
        frozen: Whether it leaves that backbone as it is.
    """

    id: str
    row: str
    method: str
    backbone: BackboneSpec
    params: dict[str, Any]
    sources: tuple[str, ...]
    validation_source: str
    shot: int | None
    schedule: Schedule
    validation: AnyProtocol
    starts_from: Training | None
    frozen: bool = False

    @property
    def upon(self) -> list[Training]:
        """The trainings that it builds upon, first the one that starts from random weights."""
        return [] if self.starts_from is None else [*self.starts_from.upon, self.starts_from]

    @property
    def name(self) -> str:
        """A readable file name that no other training has."""
        sources = "+".join(self.sources) if len(self.sources) == 1 else f"{len(self.sources)}sources"
        shot = "" if self.shot is None else f"-{self.shot}shot"
        return f"{self.row}-{sources.replace(':', '-')}{shot}-seed{self.schedule.seed}-{self.id[:12]}"


@dataclass(frozen=True)
class EpisodeSet:
    """The test episodes of one source and protocol, and where they come from.

    Attributes:
        protocol: How they were drawn.
        episodes: The episodes, as indices into a pack.
        digest: SHA-256 of what they show; empty in a forecast, which has no images.
        sampler: The sampler's version.
        tracks: Whether support and query may share a track; None for a source without tracks.
        left_out: Classes that have too few images for them.
    """

    protocol: AnyProtocol
    episodes: AnyEpisodes
    digest: str
    sampler: str = SAMPLER
    tracks: Literal["apart", "shared", "unknown"] | None = None
    left_out: int = 0

    @classmethod
    def drawn(cls, pack: Pack, protocol: AnyProtocol, rules: Rules) -> EpisodeSet:
        """The episodes of a protocol from a pack.

        Raises:
            EpisodeError: There are too few classes, or a class has too few images or tracks.
        """
        sampler = Sampler(pack, protocol, rules)
        episodes, digest = (drawn := sampler.draw()), content_digest(pack, drawn)
        return cls(protocol, episodes, digest, protocol.sampler, sampler.tracks, sampler.pool.left_out)


@dataclass(frozen=True)
class Cell:
    """One number to measure: a training or a frozen backbone, evaluated as a row on the test episodes of a source."""

    identity: CellIdentity
    label: str
    training: Training | Untrained
    episode_set: EpisodeSet


def selected_rows(suite: Suite, options: Options) -> list[str]:
    """The rows of a suite that a run wants, by name or by label in any case, in the suite's order.

    Raises:
        UsageError: A row is wanted that the suite does not have, or a label that several of its rows have.
    """
    wanted = {_row_called(suite, name) for name in options.rows}
    return [row for row in suite.methods if row in wanted or not wanted]


def _row_called(suite: Suite, name: str) -> str:
    if name in suite.methods:
        return name
    called: dict[str, list[str]] = {}
    for row, entry in suite.methods.items():  # labels are asked for only now, since loading methods takes seconds
        method = load_method(entry.method, suite.folder)
        label = row_label(entry.label or method.label, transductive=method.transductive)
        for each in {row.casefold(), label.casefold()}:
            called.setdefault(each, []).append(row)
    rows = called.get(name.casefold(), [])
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise UsageError(f"{name!r} may be any of the rows {', '.join(rows)} of the suite {suite.name}; say which.")
    raise unknown(f"method of the suite {suite.name}", name, suite.methods)


def protocols_of(suite: Suite, options: Options) -> list[AnyProtocol]:
    """How the test episodes of a suite are drawn, for every column of one source."""
    wanted, drawn = suite.episodes, suite.episodes if options.split == "test" else suite.validation
    way: int | None = wanted.way
    number, shots = options.episodes or drawn.number, list[int | None](options.shots or wanted.shots)
    if options.protocol == "variable":
        shots = [None]
    elif options.protocol == "k-shot":
        way, number, shots = None, options.episodes or SUPPORT_SETS, [*(options.shots or SHOTS)]
    return [protocol_of(options.split, way, shot, wanted.queries, episodes=number, seed=drawn.seed) for shot in shots]


def make_plan(
    suite: Suite,
    options: Options,
    methods: Mapping[str, type[Method]],
    packs: Mapping[str, Pack],
    episode_sets: Sequence[tuple[str, EpisodeSet]],
    backbones: Mapping[str, Pretrained] | None = None,
    sized: Mapping[tuple[str, int], Pack] | None = None,
) -> list[Cell]:
    """The cells of a run, those of one training side by side; rows without training have one seed.

    Args:
        suite: What to measure.
        options: What the run changes of it.
        methods: The class of every method by its name.
        packs: The pack of every source; a training source without one is left out.
        episode_sets: Test source and episodes of every column.
        backbones: The frozen ones, by the suite's names.
        sized: The packs that these see, by test source and size.

    Raises:
        UsageError: A row is wanted that the suite does not have.
        SuiteError: A value is not given for a shot, or a row cannot train on variable shots.
    """
    planner = _Planner(suite, options, methods, packs, backbones or {}, sized or {})
    cells: dict[str, list[Cell]] = {}
    for seed in range(options.seeds):
        for row in selected_rows(suite, options):
            if seed > 0 and suite.pretrained_of(row) is not None:
                continue
            for source, episode_set in episode_sets:
                cell = planner.cell(row, seed, source, episode_set)
                cells.setdefault(cell.training.id, []).append(cell)
    return list(itertools.chain.from_iterable(cells.values()))


class _Planner:
    """What the trainings and cells of one plan share."""

    def __init__(
        self,
        suite: Suite,
        options: Options,
        methods: Mapping[str, type[Method]],
        packs: Mapping[str, Pack],
        backbones: Mapping[str, Pretrained],
        sized: Mapping[tuple[str, int], Pack],
    ) -> None:
        self._suite, self._options, self._methods, self._packs = suite, options, methods, packs
        self._backbones, self._sized = backbones, sized
        self._sources = tuple(source for source in suite.sources.train if source in packs)

    def training(self, row: str, test_shot: int | None, seed: int) -> Training:
        """The training whose model a row tests at a shot; at variable shots, None."""
        suite, owner = self._suite, self._suite.methods[row]
        spec = owner.training
        assert not isinstance(spec, str)  # the suite's own validation
        episodic = not isinstance(spec, BatchTraining)
        own = 1 if isinstance(spec, BatchTraining) else spec.shot
        shot = test_shot if own is None or test_shot is None else own

        def value(name: str) -> Any:
            return at_shot(getattr(spec, name), shot, f"methods.{row}.training.{name}")

        if test_shot is None and episodic and value("tasks") != 1:
            raise SuiteError(
                f"methods.{row}.training.tasks is {value('tasks')}, but tasks of variable shots are taken one a step; "
                "set it to 1."
            )
        schedule = make_schedule(
            spec,
            row,
            shot=shot,
            seed=seed,
            fraction=self._options.fraction,
            image_size=suite.images.size,
            protocol=self._protocol("train", shot, seed, 0, value) if episodic else None,
            rules=suite.episodes.rules,
            pool=None if isinstance(spec, BatchTraining) else _pool(row, shot, spec.pool, value),
        )
        looked_at = suite.validation
        validation = self._protocol(
            "val", shot, looked_at.seed, looked_at.number, lambda name: getattr(suite.episodes, name)
        )
        validation_source = suite.sources.validation or self._sources[0]
        upon = shot if episodic else test_shot  # one model for all tests starts from one model
        starts_from = None if owner.start is None else self.training(owner.start, upon, seed)
        params, backbone = _params(row, owner, shot), suite.backbone_of(row)
        content: dict[str, Any] = {
            "engine": ENGINE,
            "method": owner.method,
            "revision": revision_of(owner.method, self._methods[owner.method], suite.folder),
            "params": params,
            "backbone": backbone.identity(),
            "backbone_revision": backbone_revision(backbone.name, suite.folder),
            "images": suite.images.identity(),
            "packs": [self._packs[source].digest for source in self._sources],
            "validation_pack": self._packs[validation_source].digest,
            "samplers": [SAMPLER, VARIABLE_SAMPLER],
            "schedule": schedule.identity(),
            "validation": validation.identity(),
        }
        later = {
            "start": starts_from and starts_from.id,
            "freeze": owner.freeze,
            "deterministic": self._options.deterministic,
            "precision": None if self._options.precision == "auto" else self._options.precision,
        }
        content |= {key: value for key, value in later.items() if value}
        return Training(
            id=sha256_json(content),
            row=row,
            method=owner.method,
            backbone=backbone,
            params=params,
            sources=self._sources,
            validation_source=validation_source,
            shot=shot if episodic else None,
            schedule=schedule,
            validation=validation,
            starts_from=starts_from,
            frozen=owner.freeze,
        )

    def cell(self, row: str, seed: int, source: str, episode_set: EpisodeSet) -> Cell:
        """A row on the episodes of a test source."""
        suite, options = self._suite, self._options
        entry, protocol = suite.methods[row], episode_set.protocol
        method = self._methods[entry.method]
        shot = protocol.shot
        training: Training | Untrained
        if (name := suite.pretrained_of(row)) is not None:
            backbone = self._backbones[name].of(source)
            in_bf16 = options.precision == "bf16" and not backbone.files
            training = Untrained(row, backbone, "bf16" if in_bf16 else "fp32")
            pack = self._sized[source, backbone.prepared_size or suite.images.size]
            images, revision = backbone.images_identity() or suite.images.identity(), backbone.revision
        else:
            training, pack = self.training(suite.trained_as(row), shot, seed), self._packs[source]
            images = suite.images.identity()
            revision = backbone_revision(training.backbone.name, suite.folder)
        identity = CellIdentity(
            suite=suite.name,
            row=row,
            method=entry.method,
            method_revision=revision_of(entry.method, method, suite.folder),
            params=_params(row, entry, shot),
            transductive=method.transductive,
            backbone=training.backbone.identity(),
            images=images,
            training=training.id,
            train_sources=list(training.sources),
            train_shot=training.shot,
            train_seed=seed,
            training_fraction=options.fraction if isinstance(training, Training) else 1.0,
            source=source,
            pack=pack.digest,
            partial=pack.partial,
            split=protocol.split,
            way=protocol.way,
            shot=shot,
            queries=protocol.queries,
            episodes=protocol.episodes,
            episode_seed=protocol.seed,
            sampler=episode_set.sampler,
            episode_set=episode_set.digest,
            deterministic=options.deterministic,
            tracks=episode_set.tracks,
            classes_left_out=episode_set.left_out,
            initialised_from=training.upon[-1].row if training.upon else None,
            engine=ENGINE,
            backbone_revision=revision,
        )
        return Cell(identity, entry.label or method.label, training, episode_set)

    def _protocol(
        self, split: str, shot: int | None, seed: int, number: int, value: Callable[[str], Any]
    ) -> AnyProtocol:
        way, queries = (None, None) if shot is None else (value("way"), value("queries"))
        return protocol_of(split, way, shot, queries, episodes=number, seed=seed)


def _pool(row: str, shot: int | None, given: PerShot[int] | None, value: Callable[[str], Any]) -> int | None:
    """How many classes a step of a row's training embeds for all of its tasks; None: each has its own images."""
    if shot is None and isinstance(given, dict) and VARIABLE not in given:
        return None  # it says so of every shot, and there is no such thing at variable ones
    classes: int | None = value("pool")
    if classes is None:
        return None
    where = f"methods.{row}.training.pool"
    if shot is None:
        raise SuiteError(f"{where} is {classes}, but tasks of variable shots are not pooled; leave it out.")
    way, tasks = value("way"), value("tasks")
    if classes % way or tasks % (classes // way):
        raise SuiteError(
            f"{where} is {classes}, with {tasks} tasks of {way} ways a step; the pool must be a multiple of the way, "
            "and the tasks of how often the way goes into it."
        )
    return classes


def _params(name: str, row: Row, shot: int | None) -> dict[str, Any]:
    return {key: at_shot(value, shot, f"methods.{name}.params.{key}") for key, value in row.params.items()}
