"""Where the work of a run is done: in this process, in several on this machine, or on a Ray cluster."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Protocol

import torch

from fsbench.errors import ExecutorError, FsbenchError, UsageError
from fsbench.progress import Progress
from fsbench.run.jobs import Job, Pool, by_training, carry_out, do
from fsbench.run.plan import Cell
from fsbench.run.worker import Order, Worker

__all__ = ["Executor", "Local", "Processes", "Ray", "make_executor"]

_RETRIES = 5  # of a job whose node is lost


class Executor(Protocol):
    """Where the work of a run is done.

    Attributes:
        here: Whether it is this process, which may then show how it goes.
    """

    here: bool

    def carry_out(self, worker: Worker, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """Train and evaluate what some cells need; yield each as its record is written.

        Raises:
            FsbenchError: Anything that its reader can mend; what was finished is kept.
        """


class Local:
    """This process, one job after the other."""

    here = True

    def carry_out(self, worker: Worker, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """As `Executor.carry_out`."""
        for training, of_sources in by_training(cells).values():
            worker.train(training, progress)
            for source, missing in of_sources.items():
                worker.evaluate(worker.cells(training.id, source), progress)
                yield from missing


class _Elsewhere(ABC):
    """Other processes."""

    here = False

    @abstractmethod
    def _open(self, order: Order, jobs: int) -> AbstractContextManager[Pool]:
        """A context with a pool for an order, of which at most so many jobs can be done at once."""

    def carry_out(self, worker: Worker, cells: Sequence[Cell], progress: Progress) -> Iterator[Cell]:
        """As `Executor.carry_out`; the processes say themselves how it goes."""
        if cells:
            jobs = {(cell.training.id, cell.identity.source) for cell in cells}
            with self._open(worker.order, len(jobs)) as pool:
                yield from carry_out(cells, pool)


class Processes(_Elsewhere):
    """Several processes on this machine: one a GPU, or as many as are asked for, which share the cores."""

    def __init__(self, number: int | None = None) -> None:
        self._number = number

    @contextmanager
    def _open(self, order: Order, jobs: int) -> Iterator[Pool]:
        gpus = 0 if order.device == "cpu" else torch.cuda.device_count()
        number = min(jobs, self._number or gpus or torch.get_num_threads())
        context = multiprocessing.get_context("spawn")
        places = context.SimpleQueue()
        for index in range(number):
            places.put(index % gpus if gpus else None)
        threads = max(1, torch.get_num_threads() // number)
        executor = ProcessPoolExecutor(number, context, _begin, (places, threads))
        try:
            yield _ProcessPool(executor, order, number)
        finally:
            for process in multiprocessing.active_children():
                process.terminate()
            executor.shutdown(cancel_futures=True)


class _ProcessPool:
    def __init__(self, executor: ProcessPoolExecutor, order: Order, slots: int) -> None:
        self._executor, self._order = executor, order
        self.slots: float = slots

    def submit(self, job: Job) -> Future[None]:
        return self._executor.submit(do, self._order, Path.cwd(), job)

    def wait(self, handles: Sequence[Future[None]]) -> Future[None]:
        done = wait(handles, return_when=FIRST_COMPLETED).done.pop()
        try:
            done.result()
        except BrokenProcessPool as error:
            raise ExecutorError(
                "a process was killed, perhaps for want of memory; what was finished is kept: run the same command "
                "again, perhaps with fewer --workers."
            ) from error
        return done


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
                yield _RayPool(ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(do), order)
            finally:
                ray.shutdown()


class _RayPool:
    slots = math.inf  # Ray queues them, and a cluster that can grow sees what there is to do

    def __init__(self, function: Any, order: Order) -> None:
        self._function, self._order = function, order

    def submit(self, job: Job) -> Any:
        return self._function.remote(self._order, Path.cwd(), job)

    def wait(self, handles: Sequence[Any]) -> Any:
        ray = _import_ray()
        (done,), _ = ray.wait(list(handles), num_returns=1)
        try:
            ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, FsbenchError) else error from None
        except ray.exceptions.RayError as error:
            raise ExecutorError(
                f"a job was lost {_RETRIES + 1} times with its node ({type(error).__name__}); what was finished is "
                "kept: look at `ray status`, then run the same command again."
            ) from error
        return done


def make_executor(name: str, *, workers: int | None, address: str | None) -> Executor:
    """The executor of a name, with the options that it takes.

    Raises:
        UsageError: An option does not fit the executor.
    """
    if workers is not None and name != "processes":
        raise UsageError(f"--workers {workers} is for --executor processes.")
    if address is not None and name != "ray":
        raise UsageError(f"--address {address} is for --executor ray.")
    if name == "processes":
        return Processes(workers)
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


def _begin(places: Any, threads: int) -> None:
    """Begin a process of a pool: on a GPU of its own, with its share of the cores, and not longer than its parent."""
    if (place := places.get()) is not None:
        torch.cuda.set_device(place)
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)
