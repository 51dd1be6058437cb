"""What is asked of a run, and what has to be opened for it before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsbench.engine.devices import pick_device
from fsbench.episodes.files import EpisodeFile
from fsbench.errors import NewerRecordError, RecordError
from fsbench.files.atomic import remove
from fsbench.methods.registry import load_methods
from fsbench.records import Record, RecordStore
from fsbench.run.material import open_material
from fsbench.run.plan import Cell, Options, Training, make_plan, selected_rows
from fsbench.suite import Suite

__all__ = ["Order", "Run"]


@dataclass(frozen=True)
class Order:
    """What is asked of a run; every process that takes part in it makes the same plan of it.

    Attributes:
        suite: What to measure.
        options: What to change of it.
        out: Where to write.
        device: "auto", "cpu" or "cuda".
        data_root: Where the sources' files lie, if a pack is not yet prepared.
        episode_file: Test on these episodes, and on no others.
    """

    suite: Suite
    options: Options
    out: Path
    device: str = "auto"
    data_root: Path | None = None
    episode_file: EpisodeFile | None = None


class Run:
    """An order with its material, its plan and what is finished of it; nothing is computed, and nothing set.

    Args:
        order: What is asked.

    Attributes:
        order: What is asked.
        device: Where it will be computed.
        methods: The class of every method by its name.
        material: Packs and test episodes.
        plan: All cells of the run.
        store: The records.

    Raises:
        FsbenchError: Anything that its reader can mend.
    """

    def __init__(self, order: Order) -> None:
        suite, options = order.suite, order.options
        self.order, self.device = order, pick_device(order.device)
        self.methods = load_methods(suite, selected_rows(suite, options))
        self.material = open_material(suite, options, data_root=order.data_root, episode_file=order.episode_file)
        self.plan = make_plan(suite, options, self.methods, self.material.packs, self.material.episode_sets)
        self.store = RecordStore(order.out / "records")

    def cells(self, training: str, source: str | None = None) -> list[Cell]:
        """The cells of the plan that belong to a training, by its id, and to a test source, or to any."""
        of_training = [cell for cell in self.plan if cell.training.id == training]
        return [cell for cell in of_training if source in (None, cell.identity.source)]

    def forget(self) -> None:
        """Remove the records and checkpoints of the plan."""
        for cell in self.plan:
            remove(self.store.path(cell.identity))
            remove(self.checkpoint(cell.training))

    def finished(self, cell: Cell) -> Record | None:
        """The record of a cell if it is there and whole.

        Raises:
            NewerRecordError: A later version of fsbench wrote it.
        """
        try:
            return self.store.find(cell.identity)
        except NewerRecordError:
            raise
        except RecordError:
            return None

    def checkpoint(self, training: Training) -> Path:
        """Where the model of a training is kept."""
        return self.order.out / "checkpoints" / f"{training.name}.safetensors"
