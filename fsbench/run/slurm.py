"""Jobs of a run as jobs of Slurm, by submitit."""

from __future__ import annotations

import logging
import math
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fsbench.errors import ExecutorError, FsbenchError, UsageError
from fsbench.files.atomic import make_folder
from fsbench.run.jobs import Job, Pool, do
from fsbench.run.order import Order

__all__ = ["slurm_pool"]

_LOG = logging.getLogger("fsbench")
_MINUTES: Final = 24 * 60  # that a job may take, unless SBATCH_TIMELIMIT says otherwise
_EVERY: Final = 2.0  # seconds between two looks at the jobs


@contextmanager
def slurm_pool(order: Order, number: int | None, cluster: str = "slurm") -> Iterator[Pool]:
    """A pool whose jobs wait in Slurm's queue; what is left of them when the context ends is cancelled.

    submitit unpickles results from the folder `slurm` of the out folder, so nobody else may write into it.

    Args:
        order: The order.
        number: How many jobs are in the queue at once, at most; None: all.
        cluster: As submitit names it: "slurm", or "local" for processes on this machine.

    Raises:
        UsageError: submitit or Slurm is not there.
        OutputError: The folder cannot be written.
    """
    try:
        import submitit
    except ImportError as error:
        raise UsageError("--executor slurm needs submitit; run `python -m pip install 'fsbench[slurm]'`.") from error
    if cluster == "slurm" and shutil.which("srun") is None:
        raise UsageError("--executor slurm needs Slurm's srun, which is not on this machine; run it on a login node.")

    class Given(submitit.helpers.Checkpointable):  # goes into the queue again when its time is up
        def __call__(self, folder: Path, job: Job) -> FsbenchError | None:
            try:
                do(order, folder, job)
            except FsbenchError as error:  # submitit hands on other errors as text alone
                return error
            return None

    given: Any = Given()  # type: ignore[no-untyped-call]
    folder = order.out.absolute() / "slurm"
    make_folder(folder)
    folder.chmod(0o700)
    executor = submitit.AutoExecutor(folder, cluster=cluster)
    executor.update_parameters(name="fsbench", timeout_min=_MINUTES)
    if order.device == "cuda":
        executor.update_parameters(gpus_per_node=1)
    jobs: dict[Future[None], Any] = {}
    ended = threading.Event()

    def submit(job: Job) -> Future[None]:
        future = Future[None]()
        try:
            jobs[future] = executor.submit(given, Path.cwd(), job)
        except submitit.core.utils.FailedJobError as error:
            why = next(iter(str(error).strip().splitlines()), "it does not say why").rstrip(".")
            raise ExecutorError(
                f"Slurm takes no job ({why}); set what it asks for in SBATCH_ variables, and run the same command "
                "again (without --fresh)."
            ) from error
        return future

    threading.Thread(target=_watch, args=(jobs, ended), daemon=True).start()
    try:
        yield Pool(number or math.inf, submit)
    finally:
        ended.set()
        for future, job in jobs.items():
            if not future.done():
                job.cancel(check=False)


def _watch(jobs: dict[Future[None], Any], ended: threading.Event) -> None:
    """Tell the futures how their jobs ended."""
    while not ended.wait(_EVERY):
        for future, job in list(jobs.items()):
            try:
                if not future.done() and job.done():
                    _settle(future, job)
            except Exception as error:  # of a command of Slurm; its controller may be away for a while
                _LOG.warning("Slurm does not say how its jobs are (%s); asking again.", error)


def _settle(future: Future[None], job: Any) -> None:
    try:
        error = job.result()
    except Exception as lost:
        error = ExecutorError(
            f"the job {job.job_id} of Slurm was lost ({type(lost).__name__}; it says in {job.paths.stderr}); what was "
            "finished is kept: run the same command again (without --fresh)."
        )
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
