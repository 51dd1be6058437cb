"""Jobs: the parts that the work of a run is cut into, and the order in which other processes are given them.

A job is to train a model, or to evaluate one on one test source. Jobs meet in the out folder, where they find
checkpoints and leave records, as runs that were stopped do; so what is done where changes no number.
"""

from __future__ import annotations

import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from fsbench.engine.devices import tune_process
from fsbench.errors import ExecutorError
from fsbench.plugins import blaming_files
from fsbench.progress import open_progress, printed_log
from fsbench.run.cells import Cell, Training
from fsbench.run.frozen import Untrained
from fsbench.run.order import Order, Run
from fsbench.run.worker import Worker

__all__ = ["Job", "Pool", "by_training", "carry_out", "do"]


@dataclass(frozen=True)
class Job:
    """To train a model, or to evaluate it on a source.

    Attributes:
        training: Its id.
        source: The test source, or None to train.
    """

    training: str
    source: str | None = None


@dataclass(frozen=True)
class Pool:
    """Processes that take jobs.

    Attributes:
        slots: How many jobs they are given at once.
        submit: Have one of them `do` a job.
    """

    slots: float
    submit: Callable[[Job], Future[None]]


def by_training(cells: Sequence[Cell]) -> dict[str, tuple[Training | Untrained, dict[str, list[Cell]]]]:
    """Trainings and frozen backbones by their ids, each with its cells by test source."""
    groups: dict[str, tuple[Training | Untrained, dict[str, list[Cell]]]] = {}
    for cell in cells:
        _, of_sources = groups.setdefault(cell.training.id, (cell.training, {}))
        of_sources.setdefault(cell.identity.source, []).append(cell)
    return groups


def carry_out(cells: Sequence[Cell], pool: Pool) -> Iterator[Cell]:
    """Have a pool do what some cells need, each job after those that it builds upon; yield each cell when it is done.

    Raises:
        FsbenchError: What a job ended with.
    """
    groups = by_training(cells)
    waiting = {key: training for key, (training, _) in groups.items()}
    untrained, ready, running = set(groups), deque[Job](), dict[Future[None], Job]()
    while waiting or ready or running:
        for key, training in list(waiting.items()):
            if all(other.id not in untrained for other in training.upon):
                ready.append(Job(key))
                del waiting[key]
        while ready and len(running) < pool.slots:
            job = ready.popleft()
            running[pool.submit(job)] = job
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            future.result()
            of_sources = groups[job.training][1]
            if job.source is None:
                untrained.remove(job.training)
                ready.extendleft(Job(job.training, source) for source in reversed(of_sources))
            else:
                yield from of_sources[job.source]


_at_work: tuple[Run, Worker] | None = None  # of this process, which does jobs of one order only


@printed_log()
@blaming_files()  # here, where the lines are still known that an error came through
def do(order: Order, folder: Path, job: Job) -> None:
    """Do a job of an order that was given in a folder.

    Raises:
        FsbenchError: Any error that the user can fix; what was finished is kept.
    """
    global _at_work
    if _at_work is None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise ExecutorError(
                f"the machine {platform.node()} does not see the folder {folder}; run in a folder that all nodes share."
            ) from error
        tune_process(deterministic=order.options.deterministic, one_shape=not order.options.variable)
        run = Run(order)
        _at_work = run, Worker(run)
    run, worker = _at_work
    cells = run.cells(job.training, job.source)
    if not cells:
        raise ExecutorError(
            f"the machine {platform.node()} makes another plan of this run; give it the same fsbench, packs and "
            "methods."
        )
    with open_progress(len(cells), live=False) as progress:
        if job.source is None:
            worker.train(cells[0].training, progress)
        else:
            worker.evaluate(cells, progress)
