"""What goes to a GPU, shown without one: tensors of a device that is none, and whose copies are counted."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fsbench.data.pack import Pack
from fsbench.engine import transfer
from fsbench.engine.batches import training_data
from fsbench.engine.evaluation import correct_counts
from fsbench.engine.schedule import Schedule
from fsbench.engine.store import ImageStore
from fsbench.engine.transfer import resident, send
from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.episodes.variable import VariableProtocol
from fsbench.errors import DeviceError
from helpers.schedules import TASKS
from helpers.small import build, write_small_pack

CPU, THERE = torch.device("cpu"), torch.device("meta")
SCHEDULES = {
    "tasks": replace(TASKS, size=2),
    "batches": replace(TASKS, protocol=None, size=16),
    "variable": replace(TASKS, protocol=VariableProtocol("train", 0, 0)),
    "pooled": replace(TASKS, protocol=FixedProtocol("train", 3, 1, 3, 0, 0), size=4, pool=6),
}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_small_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What is brought to the device; its tensors lie on the CPU, so that there is something to look at."""
    seen: list[Tensor] = []
    to, empty = Tensor.to, torch.empty

    def counted(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
        if THERE not in given:
            return to(tensor, *given, **named)
        seen.append(tensor)
        assert named.get("non_blocking") or tensor.numel() < 4  # mean and deviation, once a store
        return tensor

    monkeypatch.setattr(Tensor, "to", counted)
    monkeypatch.setattr(torch, "empty", lambda *given, device=None, **named: empty(*given, **named))
    return seen


def test_numbers_go_in_one_copy(copies: list[Tensor]) -> None:
    integers, floats = np.arange(12).reshape(3, 4), np.linspace(-1, 1, 10).reshape(5, 2)
    given = [integers, floats, integers[:, ::2], floats.T, integers[:0]]
    for array, here, there in zip(given, send(given, CPU), send(given, THERE), strict=True):
        assert torch.equal(there, here) and there.dtype == here.dtype
        assert np.array_equal(there.numpy(), array)
    assert len(copies) == 1


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_batch_goes_in_one_copy(name: str, augment: bool, pack: Pack, copies: list[Tensor]) -> None:
    schedule: Schedule = replace(SCHEDULES[name], augment=augment)
    here, there = (ImageStore(pack, "train", device, [0.5], [0.5]) for device in (CPU, THERE))
    copies.clear()
    steps = [itertools.islice(training_data(schedule, [store], 0), 5) for store in (here, there)]
    for ours, theirs in zip(*steps, strict=True):
        for field, value in vars(ours).items():
            assert value == getattr(theirs, field) if field == "way" else torch.equal(value, getattr(theirs, field))
    assert 1 <= len(copies) <= 5


def test_comparing_asks_for_one_copy(pack: Pack, copies: list[Tensor]) -> None:
    episodes = draw_episodes(pool_of(pack, "test"), FixedProtocol("test", 5, 1, 3, 20, 0))
    method = build("proto")
    counts = []
    for device in (CPU, THERE):
        store = ImageStore(pack, "test", device, [0.5], [0.5])
        copies.clear()
        counts.append(correct_counts(method, store, episodes).tolist())
    assert counts[0] == counts[1]
    assert len(copies) == 2  # of the images' indices, and of the episodes


def test_splits_share_one_copy_of_a_pack(pack: Pack, copies: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_BYTES_A_PIECE", 7 * 28 * 28)
    train, test = (ImageStore(pack, split, THERE, [0.5], [0.5]) for split in ("train", "test"))
    first = resident(pack, THERE)
    assert train._images is first and test._images is first
    assert np.array_equal(first.numpy(), pack.images)
    same = ImageStore(pack, "test", CPU, [0.5], [0.5])
    assert torch.equal(test.images(test.indices[[3, 40]]), same.images(same.indices[[3, 40]]))
    del train, test, first
    gc.collect()
    assert len(transfer._residents) == 0


def test_images_that_are_not_resident_go_up_when_they_are_asked_for(pack: Pack, copies: list[Tensor]) -> None:
    read = ImageStore(pack, "test", THERE, [0.5], [0.5], resident=False)
    same = ImageStore(pack, "test", CPU, [0.5], [0.5])
    assert len(transfer._residents) == 0
    copies.clear()
    asked = same.indices[[3, 40]]
    assert torch.equal(read.images(asked), same.images(asked))
    assert [len(copy) for copy in copies] == [2, 2]  # where they are, and they


def test_images_go_up_from_memory_that_may_be_written_to(
    pack: Pack, copies: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch warns, once a process, of a tensor of the pages of a file."""
    convert: Callable[[np.ndarray], Tensor] = torch.from_numpy

    def strict(array: np.ndarray) -> Tensor:
        assert array.flags.writeable
        return convert(array)

    monkeypatch.setattr(torch, "from_numpy", strict)
    resident(pack, THERE)


def test_a_pack_that_does_not_fit_is_an_error_that_says_so(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Tensor:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(DeviceError, match=r"the images of small, 0\.0 GiB, do not fit into the memory of the device"):
        ImageStore(pack, "train", THERE, [0.5], [0.5])


def test_on_a_cpu_images_stay_in_their_file(tmp_path: Path) -> None:
    store = ImageStore(write_small_pack(tmp_path), "train", CPU, [0.5], [0.5])
    assert np.shares_memory(store._images, store.pack.images)
