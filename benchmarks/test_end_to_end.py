"""From images to one cell of a table: `fsbench run` beside the common way from end to end."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from fsbench.data.pack import Prepared, write_pack
from fsbench.devices import tune_process
from fsbench.plan import Options
from fsbench.run import run_suite
from fsbench.suite import load_suite
from fsbench.tasks import Tasks
from loaders import ImageFiles, Tensors, decode, loader, write_files
from made import OMNIGLOT, plain

if TYPE_CHECKING:
    from conftest import Beside

SHAPE = replace(OMNIGLOT, classes=60)
STEPS, EPISODES = 20, 200
SUITE = f"""
name = "one-cell"
title = "One cell"
images = {{ size = {SHAPE.size}, channels = 1, mean = [0.5], std = [0.25] }}
backbone = {{ name = "conv4", width = 64 }}
sources = {{ train = "made", test = ["made"] }}
episodes = {{ way = 5, shots = [1], queries = 15, number = {EPISODES}, seed = 0 }}
validation = {{ number = 2, seed = 1 }}

[methods.proto]
method = "proto"

[methods.proto.training]
kind = "episodes"
way = 5
queries = 15
tasks = 1
steps = {STEPS}
rate = 1e-3
validate_every = {STEPS}
"""


def our_way(folder: Path, number: int) -> float:
    """Accuracy in percent, by `fsbench run` from the pack into a fresh folder."""
    suite = load_suite(str(folder / "suite.toml"))
    table = run_suite(suite, Options(), out=folder / f"run{number}", device="cpu")
    return table.records[0].mean


@cache
def files_of(folder: Path) -> ImageFiles:
    return ImageFiles(*write_files(folder, SHAPE, stored=105, kind="png"), SHAPE)


@cache
def tensors_of(folder: Path) -> ImageFiles:
    return Tensors(files_of(folder))


def common_way(folder: Path, in_memory: bool) -> float:
    """Accuracy in percent, with a `DataLoader`, a plain network and a forward pass per episode; no validation."""
    torch.manual_seed(0)
    method = plain("proto", SHAPE).train()
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-3)
    dataset = (tensors_of if in_memory else files_of)(folder)
    for batch in loader(dataset, shot=1, tasks=STEPS)():
        optimiser.zero_grad()
        method.loss(task_of(batch)).backward()
        optimiser.step()
    method.eval()
    right = []
    with torch.no_grad():
        for batch in loader(dataset, shot=1, tasks=EPISODES)():
            task = task_of(batch)
            right.append((method.predict(task).argmax(-1) == task.query_labels).float().mean())
    return 100 * torch.stack(right).mean().item()


def task_of(batch: Any) -> Tasks:
    support, labels, query, query_labels, _ = batch
    return Tasks(support[None], labels[None], query[None], query_labels[None], way=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, the pack made of them in a cache, and the suite."""
    folder = tmp_path_factory.mktemp("made")
    paths, labels = write_files(folder, SHAPE, stored=105, kind="png")
    prepared = Prepared(
        images=torch.stack([torch.from_numpy(decode(path, SHAPE).copy()) for path in paths]).numpy(),
        labels=torch.tensor(labels).numpy(),
        names=[path.name for path in paths],
        classes=[str(label) for label in range(SHAPE.classes)],
        splits={"train": range(30), "val": range(30, 40), "test": range(40, 60)},
        processing={"made": "for benchmarks"},
    )
    write_pack(folder / "cache" / "packs" / f"made-{SHAPE.size}px", "made", prepared)
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[ProcessPoolExecutor]:
    """One process for both sides: what `fsbench run` sets for its process holds for both, and for no other row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSBENCH_CACHE", str(folder / "cache"))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, partial(tune_process, deterministic=False)) as worker:
            worker.submit(os.getpid).result()
            yield worker


@pytest.mark.parametrize("in_memory", [False, True], ids=["files to decode", "finished tensors in memory"])
def test_cell(in_memory: bool, folder: Path, worker: ProcessPoolExecutor, beside: Beside) -> None:
    numbers = itertools.count()

    def agree(ours: float, theirs: float) -> None:
        """Both learn; they are not equal, since their tasks and their initial weights differ."""
        assert min(ours, theirs) > 50

    beside(
        "end to end",
        f"a cell of ProtoNet, {SHAPE}: {STEPS} training steps, {EPISODES} test episodes",
        ours=lambda: worker.submit(our_way, folder, 2 * next(numbers) + in_memory).result(),
        peer=lambda: worker.submit(common_way, folder, in_memory).result(),
        peer_name="DataLoader, plain network, episode by episode, " + ("tensors in memory" if in_memory else "files"),
        agree=agree,
        unit="cells/s",
        our_work=1,
        note="glibc's thresholds raised on both sides; ours from the pack, with validation, checkpoint, record, tables",
    )
