"""Jobs of a run in a queue: the same bytes as in one process. submitit's local queue stands in for Slurm's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from fsbench.errors import DeviceError, ExecutorError, FsbenchError, UsageError
from fsbench.run import slurm
from fsbench.run.executors import Elsewhere, Local, make_executor
from fsbench.run.options import Options
from fsbench.run.order import Order
from fsbench.run.run import run_suite
from fsbench.suite_files import load_suite
from helpers.tiny import contents, write_source, write_suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("slurm")
        patch.setenv("FSBENCH_CACHE", str(folder / "cache"))
        patch.setattr(slurm, "_EVERY", 0.1)
        write_source(folder / "cache")
        write_suite(folder / "suite.toml", rows=("proto",))
        yield folder


def _order(folder: Path, out: str) -> Order:
    return Order(load_suite(str(folder / "suite.toml")), Options(shots=(1,)), folder / out, device="cpu")


@pytest.mark.slow
def test_jobs_of_a_queue_leave_the_same_bytes(folder: Path) -> None:
    run_suite(_order(folder, "serial"), executor=Local())
    run_suite(_order(folder, "queued"), executor=Elsewhere(lambda order, _: slurm.slurm_pool(order, None, "local")))
    logs = list((folder / "queued" / "slurm").glob("*_log.err"))
    assert len(logs) == 2  # a training, and its evaluation
    assert (folder / "queued" / "slurm").stat().st_mode & 0o777 == 0o700
    found = {name: text for name, text in contents(folder / "queued").items() if not name.startswith("slurm")}
    assert found == contents(folder / "serial")


def test_without_submitit_or_slurm_it_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make_executor("slurm", workers=4, address=None)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(UsageError, match=r"^--executor slurm needs Slurm's srun, which is not on this machine"):
        run_suite(_order(folder, "none"), executor=executor)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"needs submitit; run `python -m pip install 'fsbench\[slurm\]'`"):
        run_suite(_order(folder, "none"), executor=executor)


def test_a_job_that_slurm_refuses_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("srun", ""), ("sbatch", "echo 'sbatch: error: invalid partition specified: none' >&2; exit 1")):
        tool = folder / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    said = r"^Slurm takes no job \(.*invalid partition specified: none\); set what it asks for in SBATCH_ variables"
    with pytest.raises(ExecutorError, match=said):
        run_suite(_order(folder, "refused"), executor=make_executor("slurm", workers=1, address=None))


class _Job:
    """A job that has ended so."""

    job_id = "7"

    class paths:
        stderr = Path("7_0_log.err")

    def __init__(self, result: FsbenchError | None, lost: Exception | None = None) -> None:
        self._result, self._lost = result, lost

    def result(self) -> FsbenchError | None:
        if self._lost is not None:
            raise self._lost
        return self._result


def test_a_run_ends_with_what_a_job_ended_with() -> None:
    done, failed, lost = (Future[None]() for _ in range(3))
    slurm._settle(done, _Job(None))
    slurm._settle(failed, _Job(DeviceError("no memory.")))
    slurm._settle(lost, _Job(None, RuntimeError("no result was found")))
    assert done.result() is None
    with pytest.raises(DeviceError, match=r"^no memory\.$"):
        failed.result()
    with pytest.raises(ExecutorError, match=r"^the job 7 of Slurm was lost \(RuntimeError; it says in 7_0_log.err\)"):
        lost.result()
