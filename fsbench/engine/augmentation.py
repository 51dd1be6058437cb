"""Augmentation of training images: random resized crop, horizontal flip and colour jitter, for a batch at once.

The recipe is that of Chen et al., "A closer look at few-shot classification", ICLR 2019. Every image comes out as
torchvision's `v2.functional` would make it with the same numbers; but v2 draws one crop for a whole batch, and
image by image it takes hundreds of small operations, so the batched arithmetic is here. The numbers are drawn as
v2's `RandomResizedCrop` and `ColorJitter` draw theirs, from a stream with an address, so that a training that was
stopped goes on with the same images.
"""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Floats", "augment", "crops", "draw_numbers"]

_TRIES = 10  # to find a crop that fits, as torchvision
_NUMBERS = 2 * _TRIES + 2 + 1 + 3  # an image: areas and ratios, place, flip, colours
_AREA = (0.08, 1.0)  # of the image
_RATIO = (3 / 4, 4 / 3)  # width to height
_JITTER = 0.4  # factors of brightness, contrast and saturation lie within 1 ± this
_GREY = (0.2989, 0.587, 0.114)

Floats: TypeAlias = npt.NDArray[np.float64]


def draw_numbers(images: int, *, seed: int, index: int) -> Floats:
    """Uniform numbers in [0, 1) for `images` images, `[images, numbers]`; they depend on `seed` and `index` alone."""
    key = hashlib.sha256(f"augmentation {seed}".encode()).digest()
    stream = np.random.Philox(
        key=np.frombuffer(key[:16], dtype="<u8").astype(np.uint64), counter=np.array([0, 0, 0, index], dtype=np.uint64)
    )
    raw = stream.random_raw(images * _NUMBERS)
    return (raw >> np.uint64(11)).astype(np.float64).reshape(images, _NUMBERS) * 2.0**-53


def augment(images: Tensor, numbers: Floats) -> Tensor:
    """Augment images, each by numbers of its own.

    Args:
        images: float `[N, C, H, W]` between 0 and 1; C is 1 or 3.
        numbers: From `draw_numbers`, `[N, numbers]`.

    Returns:
        Images of the same shape, between 0 and 1.
    """
    height, width = images.shape[2:]
    left, upper, across, down = (torch.from_numpy(part).to(images) for part in crops(numbers, height, width).T)
    flip = torch.from_numpy(numbers[:, -4] < 0.5).to(images.device)
    columns = _places(left, across, width)
    grid = torch.stack(
        [
            torch.where(flip[:, None], columns.flip(1), columns)[:, None, :].expand(-1, height, -1),
            _places(upper, down, height)[:, :, None].expand(-1, -1, width),
        ],
        dim=-1,
    )
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    factors = torch.from_numpy(1 + _JITTER * (2 * numbers[:, -3:] - 1)).to(images)[:, :, None, None, None]
    images = (images * factors[:, 0]).clamp(0, 1)
    images = _blend(images, _grey(images).mean(dim=(2, 3), keepdim=True), factors[:, 1])
    return _blend(images, _grey(images), factors[:, 2]) if images.shape[1] == 3 else images


def crops(numbers: Floats, height: int, width: int) -> Floats:
    """The crop of every image, `[N, 4]`: left, upper, width, height, in whole pixels.

    The first of ten proposals that fits, as in `torchvision.transforms.v2.RandomResizedCrop`; the whole image if none
    does, which is torchvision's answer too where the image is a square.
    """
    area = height * width * (_AREA[0] + (_AREA[1] - _AREA[0]) * numbers[:, :_TRIES])
    low, high = map(math.log, _RATIO)
    ratio = np.exp(low + (high - low) * numbers[:, _TRIES : 2 * _TRIES])
    across, down = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (across <= width) & (down <= height) & (across > 0) & (down > 0)
    first = fits.argmax(1)[:, None]
    across = np.where(fits.any(1), np.take_along_axis(across, first, 1)[:, 0], width)
    down = np.where(fits.any(1), np.take_along_axis(down, first, 1)[:, 0], height)
    place = numbers[:, 2 * _TRIES : 2 * _TRIES + 2]
    return np.stack(
        [np.floor(place[:, 0] * (width - across + 1)), np.floor(place[:, 1] * (height - down + 1)), across, down],
        axis=1,
    )


def _places(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where the `size` pixels of every result lie along one axis of the image, from -1 (first pixel) to 1 (last)."""
    steps = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    inside = (steps * (length[:, None] / size) - 0.5).clamp(min=0).minimum(length[:, None] - 1)
    return (start[:, None] + inside) * (2 / (size - 1)) - 1


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    weights = images.new_tensor(_GREY).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * others).clamp(0, 1)
