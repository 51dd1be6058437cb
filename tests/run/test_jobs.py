"""How the work of a run is cut, handed out and ended."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from fsbench.errors import TrainingError
from fsbench.run.jobs import Job, Pool, carry_out
from fsbench.run.options import Options
from fsbench.run.order import Order, Run
from fsbench.run.processes import processes_pool
from fsbench.run.worker import Worker
from fsbench.suite_files import load_suite
from helpers.tiny import write_source, write_suite

CHAIN = {"proto": "knn", "fomaml": "proto"}  # rows, and where they start


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run of a classifier that serves two rows, and of a row that starts from it."""
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    start = ('method = "proto"\n', 'method = "proto"\nstart = "knn"\n')
    suite = load_suite(str(write_suite(tmp_path / "s.toml", start, rows=("knn", "finetune", "proto"))))
    options = Options(shots=(1,), episodes=2, deterministic=True)
    return Run(Order(suite, options, tmp_path / "out", device="cpu"))


def finished(job: Job) -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def test_opening_a_run_and_its_worker_sets_nothing_in_the_process(run: Run) -> None:
    Worker(run)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not run.order.out.exists()


@pytest.mark.parametrize("slots", [1, 2, 99])
def test_a_job_is_handed_out_after_those_that_it_builds_upon(run: Run, slots: float) -> None:
    given: list[Job] = []

    def submit(job: Job) -> Future[None]:
        given.append(job)
        return finished(job)

    assert {cell.identity.row for cell in carry_out(run.plan, Pool(slots, submit))} == {"knn", "finetune", "proto"}
    classifier, proto = (run.plan[index].training.id for index in (0, -1))
    assert len(given) == len(set(given)) == 4
    assert given.index(Job(classifier)) < given.index(Job(proto)) < given.index(Job(proto, "tiny"))
    assert given.index(Job(classifier)) < given.index(Job(classifier, "tiny"))


def test_a_job_waits_for_what_its_start_starts_from(run: Run, tmp_path: Path) -> None:
    edits = [(f'method = "{row}"\n', f'method = "{row}"\nstart = "{of}"\n') for row, of in CHAIN.items()]
    suite = load_suite(str(write_suite(tmp_path / "chain.toml", *edits, rows=("knn", *CHAIN))))
    options = Options(shots=(1,), episodes=2, rows=("knn", "fomaml"))
    cells = Run(Order(suite, options, tmp_path / "out", device="cpu")).plan
    given: list[Job] = []

    def submit(job: Job) -> Future[None]:
        given.append(job)
        return finished(job)

    assert len(list(carry_out(cells, Pool(99, submit)))) == 2
    classifier, fomaml = (cells[index].training for index in (0, -1))
    assert [training.row for training in fomaml.upon] == ["knn", "proto"]
    assert given[:3] == [Job(classifier.id), Job(classifier.id, "tiny"), Job(fomaml.id)]


def test_the_error_of_a_job_ends_the_run(run: Run) -> None:
    def submit(job: Job) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(TrainingError("the loss is not finite."))
        return future

    with pytest.raises(TrainingError, match="the loss is not finite"):
        list(carry_out(run.plan, Pool(1, submit)))


def test_a_pool_ends_its_own_processes_and_no_others(run: Run) -> None:
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    other.start()
    try:
        with processes_pool(run.order, 1, None) as pool:
            running = pool.submit(Job("none"))
            with pytest.raises(Exception, match="makes another plan of this run"):
                running.result()
            (own,) = set(multiprocessing.active_children()) - {other}
        own.join(30)
        assert not own.is_alive()
        assert other.is_alive()
        os.kill(other.pid or 0, 0)
    finally:
        other.kill()
