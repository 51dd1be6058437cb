"""What one process does of a run: it trains models and evaluates them on their test sources."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fsbench.backbones.base import Backbone
from fsbench.backbones.weights import weights_digest
from fsbench.engine.evaluation import asked_counts, asked_images, correct_counts, embed_split
from fsbench.engine.frozen import embedded_once
from fsbench.engine.memory import frozen_at_once
from fsbench.engine.precision import backbones_in, pick_precision
from fsbench.engine.store import ImageStore
from fsbench.engine.tally import Tally
from fsbench.engine.training import load_trained, train
from fsbench.episodes.sampler import Sampler
from fsbench.errors import DeviceError, NewerRecordError, RecordError, SuiteError
from fsbench.files.atomic import canonical_json, set_aside
from fsbench.files.locks import locked
from fsbench.methods.base import ClassifierMethod, FeatureMethod, Method, MetricMethod
from fsbench.methods.registry import build_frozen
from fsbench.progress import Progress
from fsbench.records import Record, TrainingSummary, cell_id
from fsbench.run.cells import Cell, Training
from fsbench.run.embed import named_images
from fsbench.run.environment import describe_environment
from fsbench.run.frozen import Untrained
from fsbench.run.models import backbone_of, initial_model
from fsbench.run.order import Run
from fsbench.stats.intervals import mean_ci

__all__ = ["Held", "Worker"]

_LOG = logging.getLogger("fsbench")

_BY_BACKBONE = (MetricMethod.embed, ClassifierMethod.embed)


class Held(Exception):
    """Another process does this work."""


class Worker:
    """One process at work on a run; several may share its out folder.

    Args:
        run: What is to be done. The process must have been tuned for it (`fsbench.engine.devices.tune_process`).
    """

    def __init__(self, run: Run) -> None:
        options, images = run.order.options, run.order.suite.images
        self._run = run
        self._precision = pick_precision(options.precision, run.device, deterministic=options.deterministic)
        self._environment = describe_environment(run.device)
        self._opened = functools.cache(
            lambda source, split: ImageStore(run.material.packs[source], split, run.device, images.mean, images.std)
        )

    def train(self, training: Training | Untrained, progress: Progress, *, wait: bool = True) -> None:
        """Train a model, unless it is trained or never will be; a training that was stopped goes on.

        Args:
            training: The model.
            progress: Told how it goes.
            wait: For another process that trains it, or one that it starts from.

        Raises:
            FsbenchError: Any error that the user can fix; the last saved state is kept.
            Held: It is not waited for.
        """
        if isinstance(training, Untrained):
            return
        path = self._run.checkpoint(training)
        with locked(path, _wait if wait else _leave):
            try:
                trained = load_trained(path, self._build(training.method, training.params, training)) is not None
            except RecordError as error:
                _redo(path, error)
                trained = False
            if not trained:
                if training.starts_from is not None:
                    self.train(training.starts_from, progress, wait=wait)
                self._train(training, progress)

    def evaluate(self, cells: Sequence[Cell], progress: Progress, *, wait: bool = True) -> None:
        """Evaluate cells of one trained model on one test source, and write those records that are not there.

        Args:
            cells: All cells of the run that belong to this training and source. Those that have a record are not done
                again, but decide with the others which images are embedded side by side, and so how sums are rounded.
            progress: Told how it goes.
            wait: For another process that does the same.

        Raises:
            FsbenchError: Any error that the user can fix; what was finished is kept.
            Held: It is not waited for.
        """
        training, source = cells[0].training, cells[0].identity.source
        target = self._run.checkpoint(training).with_suffix(f".{source.replace(':', '-')}")
        with locked(target, _wait if wait else _leave):
            missing = [cell for cell in cells if self._is_missing(cell)]
            if not missing:  # another run has done it meanwhile
                return
            if isinstance(training, Untrained):
                weights, summary, seconds = _as_it_came(training)
            else:
                trained, summary, seconds = self._trained(training)
                weights = trained.state_dict()
            asked = np.concatenate([asked_images(cell.episode_set.episodes) for cell in cells])
            store = self._store(training, source, cells[0].identity.split).narrowed(asked)
            features: dict[object, Tensor] = {}  # of all that is asked, for every cell that can do with them
            for cell in missing:
                started = time.monotonic()
                method, episodes = self._evaluated(cell, weights), cell.episode_set.episodes
                embedded: Tensor | None = None
                tally: Tally | None = None
                if method.embeds_once():
                    assert isinstance(method, FeatureMethod)
                    key = _embedding(method, cell)
                    if key not in features:
                        features[key] = self._embedded(cell, method, store, progress)
                    embedded = features[key]
                else:
                    tally = self._tally(cell, method, progress)
                frozen_in = training.precision if isinstance(training, Untrained) else "fp32"
                with backbones_in(frozen_in, method):  # of a method that embeds in every episode again
                    correct = correct_counts(method, store, episodes, embedded, tally)
                earlier = 0.0 if tally is None else tally.seconds
                record = self._record(
                    cell,
                    method,
                    correct=correct,
                    summary=summary,
                    timings={"training": seconds, "evaluation": earlier + time.monotonic() - started},
                )
                store.pack.check_unchanged()
                self._run.store.write(record)
                if tally is not None:
                    tally.discard()
                figure = f"{record.mean:.2f} ± {record.ci95:.2f}"
                _LOG.info("%s, %s, %s: %s", cell.label, source, cell.episode_set.protocol, figure)

    def _images(self, source: str, split: str) -> ImageStore:
        """The images of a split; those that no work of now needs make room on a device that is full."""
        try:
            return self._opened(source, split)
        except DeviceError:
            self._opened.cache_clear()
        return self._opened(source, split)

    def _is_missing(self, cell: Cell) -> bool:
        """Whether a cell has no record; a damaged one is set aside."""
        try:
            return self._run.find(cell) is None
        except NewerRecordError:
            raise
        except RecordError as error:
            _redo(self._run.store.path(cell.identity), error)
            return True

    def _train(self, training: Training, progress: Progress) -> None:
        shot = "" if training.shot is None else f" {training.shot}-shot"
        looked_at = self._images(training.validation_source, "val")
        episodes = Sampler(looked_at.pack, training.validation, training.schedule.rules).draw()
        stores = [self._images(source, "train") for source in training.sources]
        view = progress.training(f"training {training.row}{shot}", training.schedule.steps)
        path = self._run.checkpoint(training)
        precision = "fp32" if training.frozen else self._precision  # its features are those of the tests

        def teach(method: Method, start: str | None) -> None:
            images = [*stores, looked_at]
            with embedded_once(method, images) if training.frozen else nullcontext(images) as (*shown, asked):
                train(
                    method,
                    training.schedule,
                    shown,
                    (asked, episodes),
                    path,
                    view,
                    precision=precision,
                    start=start,
                    commit=self._environment.commit,
                )

        try:
            teach(*self._untrained(training))
        except RecordError as error:
            _redo(path, error)
            teach(*self._untrained(training))  # a new one: that one may have some of the weights

    def _untrained(self, training: Training) -> tuple[Method, str | None]:
        """The method of a training before its first step, and the SHA-256 of what it starts from."""
        method, start = self._build(training.method, training.params, training), training.starts_from
        if start is None:
            return method, None
        trained = self._trained(start)[0]
        backbone_of(method, training).load_state_dict(backbone_of(trained, start).state_dict())
        return method, weights_digest(trained)

    def _store(self, training: Training | Untrained, source: str, split: str) -> ImageStore:
        """The images of a split as a model sees them."""
        if not isinstance(training, Untrained):
            return self._images(source, split)
        backbone = training.backbone
        if backbone.size is None:
            return self._images(source, split)
        pack = self._run.material.sized[source, backbone.prepared_size or backbone.size]
        store = ImageStore(pack, split, self._run.device, backbone.mean, backbone.std)
        return store if backbone.enlarged_from is None else store.showing(backbone.size)

    def _embedded(self, cell: Cell, method: FeatureMethod, store: ImageStore, progress: Progress) -> Tensor:
        """The features of all images of a store: embedded, or from a file.

        Raises:
            SuiteError: The method embeds images in a way of its own.
        """
        training, source = cell.training, cell.identity.source
        files = training.backbone.files if isinstance(training, Untrained) else {}
        if not files:
            watcher = progress.part(f"embedding {source} for {cell.identity.row}", len(store.indices))
            if not isinstance(training, Untrained):
                return embed_split(method, store, None, watcher)
            with backbones_in(training.precision, method):
                return embed_split(method, store, frozen_at_once(training.backbone.largest, store.device), watcher)
        if not isinstance(method, MetricMethod | ClassifierMethod) or type(method).embed not in _BY_BACKBONE:
            raise SuiteError(
                f"methods.{cell.identity.row} embeds images in a way of its own, and files of features hold none; give "
                "it another backbone."
            )
        return files[source].of(*named_images(store.pack, store)).to(store.device)

    def _trained(self, training: Training) -> tuple[Method, TrainingSummary, float]:
        """The method with the weights of a finished training, its summary, and the seconds that it took."""
        path, method = self._run.checkpoint(training), self._build(training.method, training.params, training)
        found = load_trained(path, method)
        if found is None:
            raise RecordError(f"the checkpoint {path} is gone; run again.")
        return method, *found

    def _evaluated(self, cell: Cell, weights: Mapping[str, Tensor]) -> Method:
        """The method of a cell with the weights of its training, or on its frozen backbone."""
        name, params = cell.identity.method, cell.identity.params
        if isinstance(cell.training, Untrained):
            found, network = self._run.methods[name], cell.training.backbone.network
            return build_frozen(network, cell.identity.row, found, params, device=self._run.device)
        method = self._build(name, params, cell.training)
        method.load_state_dict(weights)
        return method

    def _tally(self, cell: Cell, method: Method, progress: Progress) -> Tally:
        """The answers of a cell so far, as far as this code gave them on such a machine with these weights."""
        environment = self._environment.model_dump(mode="json")
        of = {"cell": cell_id(cell.identity), "weights": weights_digest(method), "environment": environment}
        shot = "" if cell.identity.shot is None else f" {cell.identity.shot}-shot"
        label = f"testing {cell.identity.row}{shot} on {cell.identity.source}"
        return Tally(self._run.tally(cell), of, progress.part(label, len(cell.episode_set.episodes)))

    def _record(
        self,
        cell: Cell,
        method: Method,
        *,
        correct: npt.NDArray[np.int64],
        summary: TrainingSummary,
        timings: dict[str, float],
    ) -> Record:
        asked = asked_counts(cell.episode_set.episodes)
        backbone = next((module for module in method.modules() if isinstance(module, Backbone)), None)
        interval = mean_ci(100.0 * correct / asked)
        track, pretraining = self._run.seen(cell)
        return Record(
            cell=cell_id(cell.identity),
            label=cell.label,
            backbone_label="none" if backbone is None else backbone.label,
            deviates=self._run.order.suite.methods[cell.identity.row].deviates,
            identity=cell.identity,
            features=None if backbone is None else backbone.features,
            declared=[name for name in ("names_matter", "order_matters") if getattr(method, name)],
            absent=dict(self._run.material.left_out),
            train_partial={
                source: partial
                for source in cell.training.sources
                if (partial := self._run.material.packs[source].partial) is not None
            },
            track=track,
            pretraining=pretraining,
            correct=correct.tolist(),
            total=asked.tolist(),
            mean=interval.mean,
            ci95=interval.half_width,
            training=summary,
            environment=self._environment,
            timings=timings,
        )

    def _build(self, name: str, params: Mapping[str, object], training: Training) -> Method:
        return initial_model(self._run, name, params, training, device=self._run.device)


def _as_it_came(untrained: Untrained) -> tuple[dict[str, Tensor], TrainingSummary, float]:
    """What stands for a trained model's weights, summary and seconds in the cells of a frozen backbone."""
    summary = TrainingSummary(
        steps=0,
        planned_steps=0,
        best_step=0,
        best_accuracy=None,
        stopped_early=False,
        parameters=0,
        frozen=untrained.backbone.parameters,
        history=[],
        precision=None if untrained.precision == "fp32" else untrained.precision,
    )
    return {}, summary, 0.0


def _embedding(method: FeatureMethod, cell: Cell) -> object:
    """What decides a method's features of an image beside its weights; methods with the same one share features.

    The families embed by the backbone alone. An `embed` of a class's own may do anything with its hyper-parameters.
    """
    if isinstance(method, MetricMethod | ClassifierMethod) and type(method).embed in _BY_BACKBONE:
        return type(method.backbone), method.backbone.shape, str(method.backbone)
    return type(method), canonical_json(cell.identity.params)


def _redo(path: Path, damage: RecordError) -> None:
    _LOG.warning("%s It is set aside as %s and done again.", damage, set_aside(path).name)


def _wait(holder: str) -> None:
    _LOG.info("Waiting for %s, which does the same work in this folder.", holder)


def _leave(holder: str) -> None:
    raise Held(holder)
