"""The plan of a run: from a suite to trainings and cells, each with everything that can change its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fsbench.backbones.registry import backbone_revision
from fsbench.data.pack import Pack
from fsbench.engine.revision import ENGINE
from fsbench.engine.schedule import make_schedule
from fsbench.episodes.fixed import SAMPLER
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import protocol_of
from fsbench.episodes.variable import SAMPLER as VARIABLE_SAMPLER
from fsbench.errors import SuiteError
from fsbench.files.atomic import sha256_json
from fsbench.identity import CellIdentity
from fsbench.methods.registry import revision_of
from fsbench.recipe import VARIABLE, BatchTraining, PerShot, Row, at_shot
from fsbench.run.cells import Cell, EpisodeSet, Training
from fsbench.run.frozen import Untrained
from fsbench.run.options import Options, selected_rows
from fsbench.suite import Suite

if TYPE_CHECKING:
    from fsbench.backbones.pretrained import Pretrained
    from fsbench.methods.base import Method

__all__ = ["make_plan"]


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
        shot = spec.shot_for(test_shot)

        def value(name: str) -> Any:
            return at_shot(getattr(spec, name), shot, f"methods.{row}.training.{name}")

        if shot is None and episodic and value("tasks") != 1:
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
        of_backbone = backbone_revision(backbone.name, suite.folder)
        content: dict[str, Any] = {
            "engine": ENGINE,
            "method": owner.method,
            "revision": revision_of(owner.method, self._methods[owner.method]),
            "params": params,
            "backbone": backbone.identity(),
            "backbone_revision": of_backbone,
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
            backbone_revision=of_backbone,
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
            recipe = training.id
        else:
            training, pack = self.training(suite.trained_as(row), shot, seed), self._packs[source]
            recipe = self.training(suite.trained_as(row), shot, 0).id
            images = suite.images.identity()
            revision = training.backbone_revision
        identity = CellIdentity(
            suite=suite.name,
            row=row,
            method=entry.method,
            method_revision=revision_of(entry.method, method),
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
        return Cell(identity, entry.label or method.label, training, recipe, episode_set)

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
