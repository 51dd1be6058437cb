"""What raising glibc's allocation thresholds gains, for our code and for the plain form alike.

Two processes that differ in nothing else work in turn.
"""

from __future__ import annotations

import itertools
import multiprocessing
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from fsbench.devices import tune_process
from fsbench.methods.base import FeatureMethod
from fsbench.steps import Stepper
from made import MINIIMAGENET, OMNIGLOT, Shape, method, plain
from peers import SCHEDULE, random_tasks

if TYPE_CHECKING:
    from conftest import Beside

IMAGES = {OMNIGLOT: 512, MINIIMAGENET: 64}
pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")


@cache
def training(shape: Shape) -> Callable[[], Tensor]:
    """Steps of ProtoNet, 5-way 5-shot."""
    step, numbers, tasks = Stepper(method("proto", shape), SCHEDULE), itertools.count(), random_tasks(shape, 1, shot=5)
    return lambda: step(tasks, next(numbers))


@cache
def embedding(shape: Shape, is_plain: bool) -> Callable[[], Tensor]:
    """A pass over one batch."""
    network = (plain if is_plain else method)("proto", shape).eval()
    assert isinstance(network, FeatureMethod)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES[shape], shape.channels, shape.size, shape.size, generator=generator)
    return torch.no_grad()(lambda: network.embed(images).mean())


def work(what: str, shape: Shape) -> float:
    """Do it once; what comes out as a number."""
    run = training(shape) if what == TRAINING else embedding(shape, what == PLAIN)
    return run().item()


TRAINING, FOLDED, PLAIN = "a training step of ProtoNet", "embedding a batch, folded", "embedding a batch, plain"


@pytest.fixture(scope="module")
def workers(pytestconfig: pytest.Config) -> Iterator[tuple[ProcessPoolExecutor, ProcessPoolExecutor]]:
    """A process with raised thresholds and one with glibc's own."""
    if pytestconfig.getoption("--tuned"):
        pytest.skip("both would be tuned")
    start = partial(ProcessPoolExecutor, 1, mp_context=multiprocessing.get_context("spawn"))
    with start(initializer=partial(tune_process, deterministic=False)) as tuned, start() as default:
        yield tuned, default


@pytest.mark.parametrize("what", [TRAINING, FOLDED, PLAIN])
@pytest.mark.parametrize("shape", [OMNIGLOT, MINIIMAGENET], ids=str)
def test_allocation(
    what: str, shape: Shape, workers: tuple[ProcessPoolExecutor, ProcessPoolExecutor], beside: Beside
) -> None:
    tuned, default = (lambda pool=pool: pool.submit(work, what, shape).result() for pool in workers)
    beside(
        "allocation",
        f"{what}, {shape}",
        ours=tuned,
        peer=default,
        peer_name="glibc's default thresholds",
        agree=lambda ours, theirs: torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6),
        unit="times/s",
        our_work=1,
        note="two processes that differ in the thresholds alone"
        + ("" if what == TRAINING else f"; {IMAGES[shape]} images"),
    )
