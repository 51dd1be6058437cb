"""What goes from the host to a GPU: the images of a pack once, and the numbers of a batch in one copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsbench.data.pack import Pack
from fsbench.errors import DeviceError

__all__ = ["resident", "send", "uploaded"]

_BYTES_A_PIECE = 1 << 26
_GIB = 1 << 30
_Numbers: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float64]

_residents: WeakValueDictionary[tuple[int, torch.device], Tensor] = WeakValueDictionary()


def resident(pack: Pack, device: torch.device) -> Tensor:
    """The images of a pack on a device, uint8 `[N, C, H, W]`: one copy for all who keep the pack with it.

    They go up in pieces, so that the host never holds a second copy of the file.

    Raises:
        DeviceError: They do not fit into its memory.
    """
    images, key = pack.images, (id(pack), device)
    found = _residents.get(key)
    if found is not None:
        return found
    try:
        there = torch.empty(images.shape, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"the images of {pack.source}, {images.nbytes / _GIB:.1f} GiB, do not fit into the memory of the device; "
            "free some of it, or use --device cpu."
        ) from error
    step = max(1, _BYTES_A_PIECE // math.prod(images.shape[1:]))
    for start in range(0, len(images), step):
        piece = np.array(images[start : start + step])  # torch warns of the file's own pages, which are read-only
        there[start : start + step].copy_(torch.from_numpy(piece))
    _residents[key] = there
    return there


def uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device; to a GPU it goes from pinned memory, for which the host does not wait."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def send(arrays: Sequence[_Numbers], device: torch.device) -> list[Tensor]:
    """Arrays of integers or floats as int64 or float64 tensors on a device; as float32 on Apple's, which lack float64.

    To a GPU all go in one copy from pinned memory, for which the host does not wait: it would wait for every step
    that the GPU still has to do.
    """
    if device.type == "cpu":
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    if device.type == "mps":
        whole = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return [(part.float() if part.is_floating_point() else part).to(device) for part in whole]
    kinds = [torch.float64 if array.dtype.kind == "f" else torch.int64 for array in arrays]
    joined = torch.from_numpy(np.concatenate([np.ascontiguousarray(array).view(np.int64).ravel() for array in arrays]))
    parts = torch.split(uploaded(joined, device), [array.size for array in arrays])
    return [part.view(kind).view(array.shape) for part, kind, array in zip(parts, kinds, arrays, strict=True)]
