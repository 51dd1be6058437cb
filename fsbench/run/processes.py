"""Jobs of a run in several processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Final

import torch

from fsbench.errors import ExecutorError
from fsbench.run.jobs import Job, Pool, do
from fsbench.run.order import Order

__all__ = ["processes_pool"]

_GRACE: Final = 10.0  # seconds that a process may take to end


@contextmanager
def processes_pool(order: Order, jobs: int, number: int | None) -> Iterator[Pool]:
    """A pool of processes: one a GPU, or as many as are asked for, which share the cores.

    Args:
        order: The order.
        jobs: How many can be done at once; there are no more processes.
        number: Of processes; None: one a GPU, or one a core.

    Raises:
        ExecutorError: A process was killed.
    """
    gpus = torch.cuda.device_count() if order.device != "cpu" and torch.cuda.is_available() else 0
    number = min(jobs, number or gpus or torch.get_num_threads())
    context = _Spawning()
    places = context.SimpleQueue()
    for index in range(number):
        places.put(index % gpus if gpus else None)
    threads = max(1, torch.get_num_threads() // number)
    executor = ProcessPoolExecutor(number, context, _begin, (places, threads, order, Path.cwd()))
    try:
        yield Pool(number, lambda job: executor.submit(_do_given, job))
    except BrokenProcessPool as error:
        raise ExecutorError(
            "a process was killed, perhaps because memory ran out; what was finished is kept: run the same command "
            "again (without --fresh), perhaps with fewer --workers. In a script of your own the call must stand below "
            '`if __name__ == "__main__":`, since every process reads the script again.'
        ) from error
    finally:
        _end(context.processes)
        executor.shutdown(cancel_futures=True)


def _end(processes: Sequence[SpawnProcess]) -> None:
    """Ask those processes that were started to end, and after a while make them."""
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    deadline = time.monotonic() + _GRACE
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()


class _Spawning(SpawnContext):
    """Starts fresh processes and remembers them, so that a pool ends its own and no others."""

    def __init__(self) -> None:
        self.processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*args, **options)
        self.processes.append(process)
        return process


_given: tuple[Order, Path]  # to this process of a pool, with the folder that the order was given in


def _do_given(job: Job) -> None:
    do(*_given, job)


def _begin(places: Any, threads: int, order: Order, folder: Path) -> None:
    """Begin a process of a pool: on a GPU of its own, with its share of the cores, and not longer than its parent."""
    global _given
    _given = order, folder
    if (place := places.get()) is not None:
        torch.cuda.set_device(place)
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)
