"""From images to one cell of a table: what `fsbench run` does, beside the common way from end to end."""

from __future__ import annotations

import multiprocessing
import site
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
import torch

from fsbench.data.prepared import Prepared, write_pack
from fsbench.engine.devices import tune_process
from fsbench.run.executors import Local
from fsbench.run.options import Options
from fsbench.run.order import Order
from fsbench.run.run import run_suite
from fsbench.suite import Suite
from fsbench.tasks import Tasks
from loaders import ImageFiles, Tensors, decode, loader, write_files
from made import OMNIGLOT, plain

if TYPE_CHECKING:
    from conftest import Beside

STEPS, EPISODES, PEER_PART = 10, 50, 5  # the peer does a fifth of both
SPLITS = {"train": range(20), "val": range(20, 25), "test": range(25, 110)}  # 34 test images an episode, as in Omniglot
SHAPE: Final = replace(OMNIGLOT, classes=110)
RATE = 1e-3
SUITE = Suite.model_validate(
    {
        "name": "one-cell",
        "title": "One cell",
        "images": {"size": SHAPE.size, "channels": SHAPE.channels, "mean": [0.5], "std": [0.25]},
        "backbone": {"name": "conv4", "width": 64},
        "sources": {"train": "made", "test": ["made"]},
        "episodes": {"way": 5, "shots": [1], "queries": 15, "number": EPISODES, "seed": 0},
        "validation": {"number": 5, "seed": 1},
        "methods": {
            "proto": {
                "method": "proto",
                "params": {"temperature": 1.0},
                "training": {
                    "kind": "episodes",
                    "way": 5,
                    "queries": 15,
                    "tasks": 1,
                    "steps": STEPS,
                    "rate": RATE,
                    "validate_every": STEPS // 2,
                },
            }
        },
    }
)


def our_way(folder: Path) -> float:
    """Accuracy in percent, by a run from the pack into a fresh folder."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        table = run_suite(Order(SUITE, Options(), Path(out), device="cpu"), executor=Local())
    return table.records[0].mean


def common_way(folder: Path, in_memory: bool) -> float:
    """Accuracy in percent, by a `DataLoader`, a plain network and a forward pass per episode."""
    network = plain("proto", SHAPE).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    for task in tasks(items(folder, "train", in_memory), STEPS // PEER_PART):
        optimiser.zero_grad()
        network.loss(task).backward()
        optimiser.step()
    network.eval()
    right = []
    with torch.no_grad():
        for task in tasks(items(folder, "test", in_memory), EPISODES // PEER_PART):
            right.append((network.predict(task).argmax(-1) == task.query_labels).float().mean().item())
    return 100 * sum(right) / len(right)


def tasks(dataset: ImageFiles, number: int) -> Iterator[Tasks]:
    for support, labels, query, query_labels, _ in loader(dataset, shot=1, tasks=number)():
        yield Tasks(support[None], labels[None], query[None], query_labels[None], way=5)


@cache
def items(folder: Path, split: str, in_memory: bool) -> ImageFiles:
    if in_memory:
        return Tensors(items(folder, split, False))
    every, classes = files(folder), SPLITS[split]
    which = slice(classes.start * SHAPE.images, classes.stop * SHAPE.images)
    return ImageFiles(every.paths[which], every.labels[which], SHAPE)


@cache
def files(folder: Path) -> ImageFiles:
    return ImageFiles(*write_files(folder, SHAPE, stored=105, kind="png"), SHAPE)


def pack(folder: Path) -> None:
    """What `fsbench data prepare` does, once for all runs."""
    every = files(folder)
    prepared = Prepared(
        images=np.stack([decode(path, SHAPE) for path in every.paths]),
        labels=np.asarray(every.labels),
        names=[path.name for path in every.paths],
        classes=[str(label) for label in range(SHAPE.classes)],
        splits=SPLITS,
        processing={"made": "for benchmarks"},
    )
    write_pack(folder / "packs" / f"made-{SHAPE.size}px", "made", prepared)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[ProcessPoolExecutor]:
    """One process for both sides: a run raises glibc's thresholds for all of its process, so for no other rows."""
    with (
        pytest.MonkeyPatch.context() as patch,
        ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=site.addsitedir,  # so that this file is found there: the project's root is not in the path
            initargs=(str(Path(__file__).parents[1]),),
        ) as worker,
    ):
        patch.setenv("FSBENCH_CACHE", str(folder))
        worker.submit(tune_process, deterministic=False).result()
        worker.submit(pack, folder).result()
        yield worker


@pytest.mark.parametrize("in_memory", [False, True], ids=["files to decode", "finished tensors in memory"])
def test_cell(in_memory: bool, folder: Path, worker: ProcessPoolExecutor, beside: Beside) -> None:
    def agree(ours: float, theirs: float) -> None:
        """Both are far above chance; they cannot be equal, since tasks and initial weights differ."""
        assert 40 < ours <= 100
        assert 40 < theirs <= 100

    beside(
        "end to end",
        f"ProtoNet, 5-way 1-shot, {SHAPE}: {STEPS} training steps, {EPISODES} test episodes, "
        + ("finished tensors in memory" if in_memory else "files to decode"),
        ours=lambda: worker.submit(our_way, folder).result(),
        peer=lambda: worker.submit(common_way, folder, in_memory).result(),
        peer_name="easyfsl's sampler, a DataLoader, a plain eager network, a forward pass per episode",
        agree=agree,
        unit="cells/s",
        our_work=1,
        their_work=1 / PEER_PART,
        note="glibc's thresholds raised on both sides; ours from a prepared pack on disk to records and table, with "
        f"two looks at validation episodes; the peer without these, 1/{PEER_PART} of the steps and episodes, scaled; "
        "after so short a training, evaluation is most of the work",
    )
