from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fsbench.engine.memory import chunks, frozen_at_once, in_chunks
from fsbench.errors import DeviceError


class Work:
    """Squares numbers, a limited number of them at once."""

    def __init__(self, total: int, limit: int | None = None) -> None:
        self.numbers, self.limit = torch.arange(total), limit
        self.sizes: list[int] = []

    def __call__(self, which: slice) -> Tensor:
        part = self.numbers[which]
        self.sizes.append(len(part))
        if self.limit is not None and len(part) > self.limit:
            raise torch.OutOfMemoryError("no memory")
        return part.square()


@given(total=st.integers(1, 50), size=st.integers(1, 60))
def test_chunks_are_the_whole(total: int, size: int) -> None:
    work = Work(total)
    assert torch.equal(in_chunks(work, total, size, "numbers"), work.numbers.square())
    assert max(work.sizes) <= size
    assert sum(work.sizes) == total


@given(total=st.integers(1, 50), size=st.integers(1, 60), limit=st.integers(1, 60))
def test_even_chunks_are_the_whole_in_one_shape(total: int, size: int, limit: int) -> None:
    work = Work(total)
    assert torch.equal(in_chunks(work, total, size, "numbers", even=True), work.numbers.square())
    assert set(work.sizes) == {min(size, total)}
    small = Work(total, limit)
    assert torch.equal(in_chunks(small, total, size, "numbers", even=True), work.numbers.square())


@given(total=st.integers(1, 50), size=st.integers(1, 60), even=st.booleans(), data=st.data())
def test_chunks_from_an_item_on_are_those_of_the_rest(total: int, size: int, even: bool, data: st.DataObject) -> None:
    work, start = Work(total), data.draw(st.integers(0, total))
    found = list(chunks(work, total, size, "numbers", even=even, start=start))
    assert [int(number) for part in found for number in part] == work.numbers[start:].square().tolist()
    assert even is False or set(work.sizes) <= {min(size, total)}


@pytest.mark.parametrize(("limit", "sizes"), [(3, [6, 3, 3, 3, 1]), (1, [6, 3] + 10 * [1])])
def test_when_memory_runs_out_the_chunks_are_halved(
    limit: int, sizes: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(10, limit)
    assert torch.equal(in_chunks(work, 10, 6, "numbers"), work.numbers.square())
    assert work.sizes == sizes
    assert caplog.messages[0] == "The device ran out of memory with 6 numbers at once; going on with 3."
    assert len(caplog.messages) == (1 if limit == 3 else 2)


@pytest.mark.parametrize(("size", "sizes"), [(8, [8, 4, 2, 1]), (1, [1])])
def test_memory_that_does_not_hold_a_single_item_is_an_error(size: int, sizes: list[int]) -> None:
    work = Work(10, limit=0)
    with pytest.raises(DeviceError, match=f"with {sizes[-1]} numbers at once; free some of its memory"):
        in_chunks(work, 10, size, "numbers")
    assert work.sizes == sizes


@pytest.mark.parametrize(("numbers", "images"), [(96 * 112 * 112, 13), (2**24, 1), (2**30, 1), (0, 2**24)])
def test_a_frozen_backbone_embeds_what_fits(numbers: int, images: int) -> None:
    assert frozen_at_once(numbers, torch.device("cpu")) == images


def test_on_a_gpu_the_maps_take_a_part_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        total_memory = 2**34

    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: Properties)
    assert frozen_at_once(96 * 112 * 112, torch.device("cuda")) == 2**30 // (4 * 96 * 112 * 112)
