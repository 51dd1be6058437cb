"""What is asked of a run, and what has to be opened for it before anything is computed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fsbench.engine.devices import pick_device
from fsbench.engine.tally import SUFFIX
from fsbench.engine.training_files import forget_training
from fsbench.episodes.files import EpisodeFile
from fsbench.errors import NewerRecordError, RecordError
from fsbench.files.atomic import remove
from fsbench.methods.registry import load_methods
from fsbench.record_files import RecordStore
from fsbench.records import Pretraining, Record, Track
from fsbench.run.cells import Cell, Training
from fsbench.run.frozen import Untrained, featured_sources, load_backbones
from fsbench.run.leakage import seen_by
from fsbench.run.material import open_material
from fsbench.run.options import Options, selected_rows
from fsbench.run.plan import make_plan
from fsbench.run.trainable import check_trainings, trainings_of
from fsbench.run.variable import check_variable
from fsbench.run.ways import check_ways
from fsbench.suite import MOST_SEEDS, Suite

if TYPE_CHECKING:
    import torch

__all__ = ["Order", "Run"]

_LOG = logging.getLogger("fsbench")


@dataclass(frozen=True)
class Order:
    """What is asked of a run; every process that takes part in it makes the same plan of it.

    Attributes:
        suite: What to measure.
        options: What to change of it.
        out: Where to write.
        device: "auto", "cpu", "cuda" or "mps".
        data_root: Where the sources' files lie, if a pack is not yet prepared.
        episode_file: Test on these episodes, and on no others.
        every_test: As for `fsbench.run.material.open_material`.
    """

    suite: Suite
    options: Options
    out: Path
    device: str = "auto"
    data_root: Path | None = None
    episode_file: EpisodeFile | None = None
    every_test: bool = True


class Run:
    """An order with its material, its plan and what is finished of it; nothing is computed, and nothing set.

    Args:
        order: What is asked.

    Attributes:
        order: What is asked.
        methods: The class of every method by its name.
        backbones: The frozen ones, by the suite's names.
        material: Packs and test episodes.
        plan: All cells of the run.
        store: The records.

    Raises:
        FsbenchError: Any error that the user can fix.
    """

    def __init__(self, order: Order) -> None:
        suite, options = order.suite, order.options
        self.order = order
        rows = selected_rows(suite, options)
        self.methods = load_methods(suite, rows)
        if options.variable:
            check_variable(suite, rows)
        self.backbones = load_backbones(suite, rows)
        self.material = open_material(
            suite,
            options,
            data_root=order.data_root,
            episode_file=order.episode_file,
            trains=any(suite.pretrained_of(row) is None for row in rows),
            sizes={backbone.prepared_size or suite.images.size for backbone in self.backbones.values()},
            given=featured_sources(suite, rows, self.backbones),
            every_test=order.every_test,
        )
        self.plan = self._planned(options)
        check_trainings(self.plan, self.material.packs)
        check_ways(self.plan, self.methods, self.material.packs, suite.episodes.rules)
        self.store = RecordStore(order.out / "records")
        self._seen: dict[tuple[str, str, str], tuple[Track, Pretraining | None]] = {}

    def _planned(self, options: Options) -> list[Cell]:
        material = self.material
        columns, sized = material.episode_sets, material.sized
        return make_plan(self.order.suite, options, self.methods, material.packs, columns, self.backbones, sized)

    @cached_property
    def device(self) -> torch.device:
        """Where it is computed; asked for only in a process that computes.

        Raises:
            DeviceError: It is not there.
        """
        return pick_device(self.order.device)

    def cells(self, training: str, source: str | None = None) -> list[Cell]:
        """The cells of the plan that belong to a training, by its id, and to a test source, or to any."""
        of_training = [cell for cell in self.plan if cell.training.id == training]
        return [cell for cell in of_training if source in (None, cell.identity.source)]

    def seen(self, cell: Cell) -> tuple[Track, Pretraining | None]:
        """As `fsbench.run.leakage.seen_by`, which reads the cards of all sources: once a training, source and split."""
        key = cell.training.id, cell.identity.source, cell.identity.split
        if key not in self._seen:
            self._seen[key] = seen_by(cell, self.material.packs)
        return self._seen[key]

    def forget(self) -> None:
        """Remove the records of the plan, and the checkpoints of its trainings and of those that they start from."""
        for cell in self.plan:
            remove(self.store.path(cell.identity))
            remove(self.tally(cell))
        for training in trainings_of(self.plan):
            forget_training(self.checkpoint(training))

    def supersede(self) -> int:
        """Put aside the records that other settings gave for the cells of the plan, at whatever training seed.

        Returns:
            How many.

        Raises:
            OutputError: The folder cannot be written.
        """
        seeds = max(self.order.options.seeds, min(self.store.seeds, MOST_SEEDS))
        cells = self._planned(replace(self.order.options, seeds=seeds))
        return self.store.supersede_others(cell.identity for cell in cells)

    def finished(self, cell: Cell) -> Record | None:
        """The record of a cell if it is there and whole, and of the features that its backbone makes today.

        Raises:
            NewerRecordError: A later version of fsbench wrote it.
        """
        try:
            return self.find(cell)
        except NewerRecordError:
            raise
        except RecordError:
            return None

    def find(self, cell: Cell) -> Record | None:
        """As `finished`, but a damaged record is an error.

        Raises:
            RecordError: There is a file, but it is damaged.
            NewerRecordError: A later version of fsbench wrote it.
        """
        record = self.store.find(cell.identity)
        if record is None:
            return None
        track, pretraining = self.seen(cell)
        words: dict[str, object] = {
            "label": cell.label,
            "deviates": self.order.suite.methods[cell.identity.row].deviates,
            "absent": dict(self.material.left_out),
            "track": track,
            "recipe": cell.recipe,
            "step_images": cell.step_images,
        }
        if record.pretraining is not None and pretraining is not None:
            words["pretraining"] = record.pretraining.model_copy(update={"overlap": pretraining.overlap})
        if any(getattr(record, name) != value for name, value in words.items()):
            record = record.model_copy(update=words)  # suite or cards say otherwise now what was measured
            self.store.write(record)
        if not isinstance(cell.training, Untrained):
            return record
        from fsbench.backbones.fingerprint import fingerprints_agree

        before = record.pretraining
        if before is not None and fingerprints_agree(cell.training.backbone.fingerprint, before.fingerprint):
            return record
        _LOG.warning(
            "%s: the backbone %s makes other features of the same images than when %s was written, with %s; it is "
            "measured again.",
            cell.label,
            cell.training.backbone.name,
            self.store.path(cell.identity).name,
            "other code" if before is None else before.library or "other code",
        )
        return None

    def checkpoint(self, training: Training | Untrained) -> Path:
        """Where the model of a training is kept."""
        return self.order.out / "checkpoints" / f"{training.name}.safetensors"

    def tally(self, cell: Cell) -> Path:
        """Where the answers of a cell are kept until it has a record."""
        return self.order.out / "checkpoints" / f"{self.store.path(cell.identity).stem}{SUFFIX}"
