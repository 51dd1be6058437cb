"""Where the work of a run is done: in this process, in several here, on a Ray cluster, or as jobs of Slurm."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Protocol

import torch

from fsbench.errors import ExecutorError, FsbenchError, UsageError
from fsbench.progress import Progress
from fsbench.run.cells import Cell
from fsbench.run.jobs import Job, Pool, by_training, carry_out, do
from fsbench.run.order import Order, Run
from fsbench.run.slurm import slurm_pool
from fsbench.run.worker import Held, Worker

__all__ = ["Executor", "Local", "Processes", "Ray", "Slurm", "make_executor"]

_GRACE = 10.0  # seconds that a process may take to end
_RETRIES = 5  # of a job whose node is lost


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
            training, of_sources = groups[key]
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


class _Elsewhere(ABC):
    """Other processes."""

    here = False

    @abstractmethod
    def _open(self, order: Order, jobs: int) -> AbstractContextManager[Pool]:
        """A context with a pool for an order, of which at most so many jobs can be done at once."""

    def carry_out(self, run: Run, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """As `Executor.carry_out`; the processes say themselves how it goes."""
        if cells:
            jobs = {(cell.training.id, cell.identity.source) for cell in cells}
            with self._open(run.order, len(jobs)) as pool:
                yield from carry_out(cells, pool)


class Processes(_Elsewhere):
    """Several processes on this machine: one a GPU, or as many as are asked for, which share the cores."""

    def __init__(self, number: int | None = None) -> None:
        self._number = number

    @contextmanager
    def _open(self, order: Order, jobs: int) -> Iterator[Pool]:
        gpus = 0 if order.device == "cpu" else torch.cuda.device_count()
        number = min(jobs, self._number or gpus or torch.get_num_threads())
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
                "again, perhaps with fewer --workers. In a script of your own the call must stand below "
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


class Ray(_Elsewhere):
    """A Ray cluster whose nodes see the same files; a job whose node is lost is done again on another.

    Args:
        address: Of the cluster, as `ray.init` takes it; None for the cluster that this machine belongs to, or a new
            one on it.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    @contextmanager
    def _open(self, order: Order, jobs: int) -> Iterator[Pool]:
        ray = _import_ray()
        _check_address(self._address)
        environment = {name: value for name, value in os.environ.items() if name.startswith("FSBENCH_")}
        with redirect_stdout(sys.stderr):  # where Ray repeats what nodes say; standard output is for the table
            try:
                ray.init(self._address, runtime_env={"env_vars": environment}, logging_level=logging.WARNING)
                gpus = 0 if order.device == "cpu" else min(1, ray.cluster_resources().get("GPU", 0))
                given = ray.put(order), Path.cwd()
                remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(do)
                # Ray queues the jobs, and a cluster that can grow sees what there is to do
                yield Pool(math.inf, lambda job: remote.remote(*given, job).future())
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, FsbenchError) else error from None
            except ray.exceptions.RayError as error:
                raise ExecutorError(
                    f"a job was lost {_RETRIES + 1} times with its node ({type(error).__name__}); what was finished is "
                    "kept: look at `ray status`, then run the same command again."
                ) from error
            finally:
                ray.shutdown()


class Slurm(_Elsewhere):
    """Slurm's queue, on a cluster whose nodes see the same files: a job of its own for every job of the run.

    Args:
        number: How many are in the queue at once; None: all.
        cluster: "slurm", or "local": processes on this machine, as submitit starts them where there is no Slurm.
    """

    def __init__(self, number: int | None = None, cluster: str = "slurm") -> None:
        self._number, self._cluster = number, cluster

    def _open(self, order: Order, jobs: int) -> AbstractContextManager[Pool]:
        return slurm_pool(order, self._number, self._cluster)


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
        return Processes(workers)
    if name == "slurm":
        return Slurm(workers)
    return Ray(address) if name == "ray" else Local()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs Ray; run `python -m pip install 'fsbench[ray]'`.") from error
    return ray


def _check_address(address: str | None) -> None:
    """Refuse a HOST:PORT where nobody listens, which Ray would try for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdecimal() or "//" in host:  # auto, or a client's ray://HOST:PORT
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ExecutorError(f"there is no Ray cluster at {address} ({error}); start one with `ray start`.") from error


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
