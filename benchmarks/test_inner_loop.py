"""Training gradient methods: our steps beside those with `higher` or learn2learn, in tasks a second and in memory."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from made import MINIIMAGENET, OMNIGLOT, Shape
from peers import (
    MakeStep,
    Outcome,
    gradient_method,
    higher_step,
    learn2learn_step,
    our_step,
    peak_of_step,
    random_tasks,
)

if TYPE_CHECKING:
    from conftest import Beside

TARGETS = {
    "fomaml": {OMNIGLOT: 1.15, MINIIMAGENET: 1.6},
    "foprotomaml": {OMNIGLOT: 1.15, MINIIMAGENET: 1.6},
    "maml": {OMNIGLOT: 1.3, MINIIMAGENET: 1.4},
}
ROUNDS = {OMNIGLOT: 15, MINIIMAGENET: 9}
TASKS = {OMNIGLOT: 4, MINIIMAGENET: 1}

shapes = pytest.mark.parametrize("shape", [OMNIGLOT, MINIIMAGENET], ids=str)
names = pytest.mark.parametrize("name", ["fomaml", "foprotomaml", "maml"])


@pytest.mark.allocation
@names
@shapes
def test_beside_higher(name: str, shape: Shape, beside: Beside) -> None:
    compare(beside, name, shape, higher_step, "higher")


@pytest.mark.skipif(find_spec("learn2learn") is None, reason="learn2learn, which builds with difficulty, is not there")
@shapes
def test_beside_learn2learn(shape: Shape, beside: Beside) -> None:
    compare(beside, "fomaml", shape, learn2learn_step, "learn2learn")


def compare(beside: Beside, name: str, shape: Shape, peer_step: MakeStep, peer_name: str) -> None:
    method, tasks = gradient_method(name, shape), random_tasks(shape, TASKS[shape])
    peer = peer_step(method, tasks)
    precise = replace(tasks, support=tasks.support.double(), query=tasks.query.double())
    doubled = gradient_method(name, shape).double()
    our_precise, their_precise = our_step(doubled, precise), peer_step(doubled, precise)
    agree(our_precise(), their_precise())
    beside(
        "inner loop",
        f"{method.label}, 5-way 1-shot, {method.train_steps} inner steps, {shape}",
        ours=our_step(method, tasks),
        peer=peer,
        peer_name=peer_name,
        agree=same_loss,
        unit="tasks/s",
        our_work=len(tasks),
        target=TARGETS[name][shape],
        rounds=ROUNDS[shape],
        note=f"a step of {len(tasks)} task{'s' * (len(tasks) > 1)}, with Adam on both sides",
    )


def same_loss(ours: Outcome, theirs: Outcome) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=0)


def agree(ours: Outcome, theirs: Outcome) -> None:
    """In float64: in float32 rounding may choose another maximum of a pooling, and so another gradient."""
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-9, atol=0)
    # biases before a batch normalisation have gradients of rounding alone, so the largest gradient is the measure
    largest = max(gradient.abs().max().item() for gradient in theirs[1].values())
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-6, atol=1e-9 * largest)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@names
@shapes
def test_memory_beside_higher(name: str, shape: Shape, benchmark: BenchmarkFixture) -> None:
    """A step of one task, each in a fresh process."""
    ours = benchmark.pedantic(peak_elsewhere, (our_step, name, shape))
    theirs = peak_elsewhere(higher_step, name, shape)
    benchmark.extra_info.update(ours_mib=round(ours), higher_mib=round(theirs))
    print(f"{name}, {shape}: {ours:.0f} MiB, with higher {theirs:.0f} MiB")
    assert ours < theirs


def peak_elsewhere(make_step: MakeStep, name: str, shape: Shape) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_of_step, make_step, name, shape).result()
