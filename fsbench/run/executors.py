"""Where the work of a run is done: in this process, in several here, on a Ray cluster, or as jobs of Slurm."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from fsbench.errors import UsageError
from fsbench.progress import Progress
from fsbench.run.cells import Cell
from fsbench.run.jobs import Pool, by_training, carry_out
from fsbench.run.order import Order, Run
from fsbench.run.processes import processes_pool
from fsbench.run.ray_cluster import ray_pool
from fsbench.run.slurm import slurm_pool
from fsbench.run.worker import Held, Worker

__all__ = ["Elsewhere", "Executor", "Local", "make_executor"]


class Executor(Protocol):
    """Where the work of a run is done.

    Attributes:
        here: Whether it is this process, which may then show how it goes.
    """

    here: bool

    def carry_out(self, run: Run, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """Train and evaluate what some cells need; yield each as its record is written.

        Raises:
            FsbenchError: Any error that the user can fix; what was finished is kept.
        """


class Local:
    """This process, one job after the other; those that another run in the same folder is at come last."""

    here = True

    def carry_out(self, run: Run, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """As `Executor.carry_out`."""
        worker, groups = Worker(run), by_training(cells)
        left = deque((key, source) for key, (_, of_sources) in groups.items() for source in of_sources)
        trained: set[str] = set()
        passed = 0  # of what is left, in a row, since others are at it
        while left:
            key, source = left.popleft()
            # The row that trains is the plan's first with these weights, whether or not it has a cell that is missing:
            # it names the checkpoint, which the tests look for.
            training, of_sources = run.cells(key)[0].training, groups[key][1]
            wait = passed > len(left)  # all were tried
            try:
                if key not in trained:
                    worker.train(training, progress, wait=wait)
                    trained.add(key)
                    passed, wait = 0, False  # its tests, which had to be passed too
                worker.evaluate(run.cells(key, source), progress, wait=wait)
            except Held:
                left.append((key, source))
                passed += 1
            else:
                passed = 0
                yield from of_sources[source]


class Elsewhere:
    """Other processes, which say themselves how it goes.

    Args:
        open_pool: A context with a pool for an order, of which at most so many jobs can be done at once.
    """

    here = False

    def __init__(self, open_pool: Callable[[Order, int], AbstractContextManager[Pool]]) -> None:
        self._open_pool = open_pool

    def carry_out(self, run: Run, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """As `Executor.carry_out`."""
        if cells:
            jobs = {(cell.training.id, cell.identity.source) for cell in cells}
            with self._open_pool(run.order, len(jobs)) as pool:
                yield from carry_out(cells, pool)


def make_executor(name: str, *, workers: int | None, address: str | None) -> Executor:
    """The executor of a name, with the options that it takes.

    Raises:
        UsageError: An option does not fit the executor.
    """
    if workers is not None and name not in ("processes", "slurm"):
        raise UsageError(f"--workers {workers} is for --executor processes or slurm.")
    if address is not None and name != "ray":
        raise UsageError(f"--address {address} is for --executor ray.")
    if name == "processes":
        return Elsewhere(lambda order, jobs: processes_pool(order, jobs, workers))
    if name == "slurm":
        return Elsewhere(lambda order, jobs: slurm_pool(order, workers))
    return Elsewhere(lambda order, jobs: ray_pool(order, address)) if name == "ray" else Local()
