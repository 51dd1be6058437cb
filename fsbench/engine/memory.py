"""How much is done at once: a fixed amount on a CPU, what free memory holds on a GPU, half when that was too much."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from fsbench.errors import DeviceError

__all__ = ["halved", "in_chunks"]

_LOG = logging.getLogger("fsbench")  # without a handler its warnings are printed to standard error
_SHARE = 0.5  # of the free memory of a GPU


def in_chunks(work: Callable[[slice], Tensor], total: int, size: int, device: torch.device, what: str) -> Tensor:
    """The results of `work` on consecutive slices of `total` items, as one tensor.

    The first slice has `size` items, and so have the others on a CPU, and on a GPU that must be
    deterministic: a sum may be rounded differently in a batch of another size. Else the memory that the
    first slice took decides how many fit into half of what is free.

    Args:
        work: Must give the same for an item whatever is beside it; called again if memory runs out.
        total: Items.
        size: Items of the first slice.
        device: Where the work is done.
        what: The items, for the message when memory runs out, e.g. "images".

    Raises:
        DeviceError: Memory ran out twice.
    """
    results: list[Tensor] = []
    start, retried = 0, False
    grows = device.type == "cuda" and not torch.are_deterministic_algorithms_enabled()
    while start < total:
        items = slice(start, min(start + size, total))
        if start == 0 and grows:
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        try:
            results.append(work(items))
        except torch.OutOfMemoryError as error:
            size, retried = halved(size, what, retried, error), True
            continue
        if start == 0 and grows:
            taken = (torch.cuda.max_memory_allocated(device) - before) / items.stop
            size = max(size, int(_SHARE * _free(device) / max(taken, 1)))
        start = items.stop
    return torch.cat(results)


def halved(size: int, what: str, retried: bool, error: torch.OutOfMemoryError) -> int:
    """Half as many items, with a printed word about it, for one more try after memory ran out.

    Raises:
        DeviceError: This was that one more try, or there is nothing to halve.
    """
    if retried or size == 1:
        raise DeviceError(
            f"the device ran out of memory with {size} {what} at once; free some of its memory, or use --device cpu."
        ) from error
    _LOG.warning("The device ran out of memory with %d %s at once; going on with %d.", size, what, size // 2)
    return size // 2


def _free(device: torch.device) -> int:
    """Bytes that can still be allocated: free on the GPU, or held by this process without use."""
    free: int = torch.cuda.mem_get_info(device)[0]
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
