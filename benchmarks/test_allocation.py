"""What raising glibc's allocation thresholds gains, for our code and for the plain form alike.

Two processes that differ in nothing else do the same work in turn.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import platform
import site
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from fsbench.engine.devices import tune_process
from fsbench.engine.evaluation import embed_split
from fsbench.engine.steps import Stepper
from fsbench.engine.store import ImageStore
from fsbench.methods.base import FeatureMethod
from made import MINIIMAGENET, OMNIGLOT, Shape, draw, method, plain, store
from peers import SCHEDULE

if TYPE_CHECKING:
    from conftest import Beside

SMALL_IMAGES = replace(OMNIGLOT, classes=60)
LARGE_IMAGES = replace(MINIIMAGENET, classes=7, images=20)
PLAIN_BATCH = {SMALL_IMAGES: 512, LARGE_IMAGES: 128}

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")


def training(shape: Shape, images: ImageStore) -> Callable[[], Tensor]:
    """A step of ProtoNet, 5-way 5-shot."""
    step, numbers, tasks = (
        Stepper(method("proto", shape), SCHEDULE),
        itertools.count(),
        images.tasks(draw(images, 1, 5)),
    )
    return lambda: step(tasks, next(numbers))


def embedding(shape: Shape, images: ImageStore) -> Callable[[], Tensor]:
    """As `fsbench run` embeds."""
    proto = method("proto", shape)
    assert isinstance(proto, FeatureMethod)
    return partial(embed_split, proto, images)


def plain_embedding(shape: Shape, images: ImageStore) -> Callable[[], Tensor]:
    """As it is usually written, in usual batches."""
    embed = plain("proto", shape).eval().embed
    batches = images.images(images.indices).contiguous().split(PLAIN_BATCH[shape])
    return torch.no_grad()(lambda: torch.cat([embed(batch) for batch in batches]))


@cache
def prepared(what: str, shape: Shape, folder: Path) -> Callable[[], Tensor]:
    return WORK[what](shape, store(folder / str(os.getpid()), shape))


def work(what: str, shape: Shape, folder: Path) -> npt.NDArray[Any]:
    """Do it once, in a worker; what comes out."""
    return prepared(what, shape, folder)().numpy()


WORK = {
    "training step of ProtoNet, 5-way 5-shot": training,
    "embedding": embedding,
    "embedding with the plain backbone": plain_embedding,
}


@pytest.fixture(scope="module")
def workers(pytestconfig: pytest.Config) -> Iterator[tuple[ProcessPoolExecutor, ProcessPoolExecutor]]:
    """A process with raised thresholds and one with glibc's own."""
    if pytestconfig.getoption("--tuned"):
        pytest.skip("--tuned is for rows with both sides tuned; here only one is")
    start = partial(
        ProcessPoolExecutor,
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=site.addsitedir,  # so that `work` is found there: the project's root is not in the path
        initargs=(str(Path(__file__).parents[1]),),
    )
    with start() as tuned, start() as default:
        tuned.submit(tune_process, deterministic=False).result()
        yield tuned, default


@pytest.mark.parametrize("what", WORK)
@pytest.mark.parametrize("shape", PLAIN_BATCH, ids=str)
def test_allocation(
    what: str,
    shape: Shape,
    workers: tuple[ProcessPoolExecutor, ProcessPoolExecutor],
    tmp_path: Path,
    beside: Beside,
) -> None:
    tuned, default = workers
    trains, images = WORK[what] is training, shape.classes * shape.images
    beside(
        "allocation",
        f"{what}, {shape}" + f", batches of {PLAIN_BATCH[shape]}" * (WORK[what] is plain_embedding),
        ours=lambda: tuned.submit(work, what, shape, tmp_path).result(),
        peer=lambda: default.submit(work, what, shape, tmp_path).result(),
        peer_name="glibc's default thresholds",
        agree=torch.testing.assert_close,
        unit="steps/s" if trains else "images/s",
        our_work=1 if trains else images,
        note="two processes that differ in the thresholds alone" + ("" if trains else f"; {images} images"),
    )
