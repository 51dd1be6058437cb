"""What one process does of a run: it trains models and evaluates them on their test sources."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from torch import Tensor

from fsbench.backbones.weights import weights_digest
from fsbench.engine.evaluation import asked_images, correct_counts
from fsbench.engine.frozen import embedded_once
from fsbench.engine.precision import backbones_in, pick_precision
from fsbench.engine.tally import Tally
from fsbench.engine.training import train
from fsbench.episodes.sampler import Sampler
from fsbench.errors import NewerRecordError, RecordError
from fsbench.files.atomic import set_aside
from fsbench.files.locks import locked
from fsbench.identity import cell_id
from fsbench.methods.base import FeatureMethod, Method
from fsbench.progress import Progress
from fsbench.run.cells import Cell, Training
from fsbench.run.environment import describe_environment
from fsbench.run.frozen import Untrained
from fsbench.run.images import Features, Images
from fsbench.run.models import Trained, is_trained, starting_model, tested_model, trained_model
from fsbench.run.order import Run
from fsbench.run.recording import record_of

__all__ = ["Held", "Worker"]

_LOG = logging.getLogger("fsbench")


class Held(Exception):
    """Another process does this work."""


class Worker:
    """One process at work on a run; several may share its out folder.

    Args:
        run: What is to be done. The process must have been tuned for it (`fsbench.engine.devices.tune_process`).
    """

    def __init__(self, run: Run) -> None:
        options = run.order.options
        self._run, self._images = run, Images(run)
        self._precision = pick_precision(options.precision, run.device, deterministic=options.deterministic)
        self._environment = describe_environment(run.device)

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
                trained = is_trained(self._run, training)
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
            trained = trained_model(self._run, training)
            asked = np.concatenate([asked_images(cell.episode_set.episodes) for cell in cells])
            store = self._images.seen_by(training, source, cells[0].identity.split).narrowed(asked)
            features = Features(store, progress)
            for cell in missing:
                self._evaluate(cell, trained, features, progress)

    def _evaluate(self, cell: Cell, trained: Trained, features: Features, progress: Progress) -> None:
        """Test the model of one cell, and write its record."""
        started, training, episodes = time.monotonic(), cell.training, cell.episode_set.episodes
        method, store = tested_model(self._run, cell, trained), features.store
        embedded: Tensor | None = None
        tally: Tally | None = None
        if method.embeds_once():
            assert isinstance(method, FeatureMethod)
            embedded = features.of(cell, method)
        else:
            tally = self._tally(cell, method, progress)
        frozen_in = training.precision if isinstance(training, Untrained) else "fp32"
        with backbones_in(frozen_in, method):  # of a method that embeds in every episode again
            correct = correct_counts(method, store, episodes, embedded, tally)
        earlier = 0.0 if tally is None else tally.seconds
        seconds = earlier + time.monotonic() - started
        record = record_of(
            self._run, cell, method, trained, correct=correct, environment=self._environment, seconds=seconds
        )
        store.pack.check_unchanged()
        self._run.store.write(record)
        if tally is not None:
            tally.discard()
        figure = f"{record.mean:.2f} ± {record.ci95:.2f}"
        _LOG.info("%s, %s, %s: %s", cell.label, cell.identity.source, cell.episode_set.protocol, figure)

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
        looked_at = self._images.of(training.validation_source, "val")
        episodes = Sampler(looked_at.pack, training.validation, training.schedule.rules).draw()
        stores = [self._images.of(source, "train") for source in training.sources]
        view = progress.training(f"training {training.title}", training.schedule.steps)
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
                    open_look=lambda: progress.look(f"validating {training.title}", len(episodes)),
                )

        try:
            teach(*starting_model(self._run, training))
        except RecordError as error:
            _redo(path, error)
            teach(*starting_model(self._run, training))  # a new one: that one may have some of the weights

    def _tally(self, cell: Cell, method: Method, progress: Progress) -> Tally:
        """The answers of a cell so far, as far as this code gave them on such a machine with these weights."""
        environment = self._environment.model_dump(mode="json")
        of = {"cell": cell_id(cell.identity), "weights": weights_digest(method), "environment": environment}
        label = f"testing {cell.title} on {cell.identity.source}"
        return Tally(self._run.tally(cell), of, progress.part(label, len(cell.episode_set.episodes)))


def _redo(path: Path, damage: RecordError) -> None:
    _LOG.warning("%s It is set aside as %s and done again.", damage, set_aside(path).name)


def _wait(holder: str) -> None:
    _LOG.info("Waiting for %s, which does the same work in this folder.", holder)


def _leave(holder: str) -> None:
    raise Held(holder)
