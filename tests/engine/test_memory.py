from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fsbench.engine.memory import in_chunks
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
