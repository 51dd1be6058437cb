"""How much is done at once: an amount fixed for a device, and half of it whenever that was too much for its memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from fsbench.errors import DeviceError

__all__ = ["chunks", "frozen_at_once", "halved", "in_chunks"]

_LOG = logging.getLogger("fsbench")  # without a handler its warnings are printed to standard error

_ON_CPU: Final = 1 << 26  # bytes of the largest maps of a batch: more of them do not stay in cache
_AT_MOST: Final = 1 << 32  # bytes, 2**30 numbers: with 2**31 or more not every algorithm of a GPU works
_OF_GPU: Final = 16  # the part of a GPU's memory that they may take; there are others beside them


def frozen_at_once(numbers: int, device: torch.device) -> int:
    """How many images a backbone that was trained elsewhere embeds at once.

    It depends on the device but not on what else is in its memory, since sums may be rounded differently in a batch of
    another size.

    Args:
        numbers: Of its largest map of one image.
        device: Where it computes.
    """
    on_gpu = device.type == "cuda"
    room = min(torch.cuda.get_device_properties(device).total_memory // _OF_GPU, _AT_MOST) if on_gpu else _ON_CPU
    return max(1, int(room) // (4 * max(1, numbers)))


def in_chunks(work: Callable[[slice], Tensor], total: int, size: int, what: str, *, even: bool = False) -> Tensor:
    """As `chunks`, from the first item on and as one tensor."""
    return torch.cat(list(chunks(work, total, size, what, even=even)))


def chunks(
    work: Callable[[slice], Tensor], total: int, size: int, what: str, *, even: bool = False, start: int = 0
) -> Iterator[Tensor]:
    """The results of `work` on consecutive slices of `total` items, one after the other.

    Args:
        work: Must give the same for an item whatever is beside it; called again if memory runs out.
        total: Items.
        size: Items of a slice.
        what: The items, for the message when memory runs out, e.g. "images".
        even: Whether the last slice is as long as the others too, and does some items again: a GPU would search for
            the fastest algorithms again for a shape of its own.
        start: The first item.

    Raises:
        DeviceError: Memory ran out with a single item.
    """
    while start < total:
        stop = min(start + size, total)
        first = max(0, stop - size) if even else start
        try:
            result = work(slice(first, stop))
        except torch.OutOfMemoryError as error:
            size = halved(stop - first, what, error)
            continue
        yield result[start - first :]
        start = stop


def halved(size: int, what: str, error: torch.OutOfMemoryError, *, divisible: bool = True) -> int:
    """Half as many items, with a printed word about it, for one more try after memory ran out.

    Raises:
        DeviceError: There is nothing to halve.
    """
    if size == 1 or not divisible:
        raise DeviceError(
            f"the device ran out of memory with {size} {what} at once; free some of its memory, or use --device cpu."
        ) from error
    _LOG.warning("The device ran out of memory with %d %s at once; going on with %d.", size, what, size // 2)
    return size // 2
