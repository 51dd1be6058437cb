"""Augmentation of training images: random resized crop, horizontal flip and colour jitter, for a batch at once.

There are two recipes: that of Chen et al., "A closer look at few-shot classification", ICLR 2019, and a lighter one,
"crop": crops of at least 0.35 of the area instead of 0.08, and no colour jitter. Every image comes out as
torchvision's `v2.functional` would make it with the same numbers; but v2 draws one crop for a whole batch, and
image by image it takes hundreds of small operations, so the batched arithmetic is here. The numbers are drawn as
v2's `RandomResizedCrop` and `ColorJitter` draw theirs, from a stream with an address, so that a training that was
stopped goes on with the same images.
"""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Floats", "augment", "changes", "crops", "draw_numbers"]

_TRIES = 10  # to find a crop that fits, as torchvision
_NUMBERS = 2 * _TRIES + 2 + 1 + 3  # an image: areas and ratios, place, flip, colours
_AREA = {True: (0.08, 1.0), "crop": (0.35, 1.0)}  # of the image, by recipe
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


def augment(images: Tensor, each: Tensor, size: int, recipe: Literal[True, "crop"] = True) -> Tensor:
    """Augment images, each by changes of its own.

    A crop comes to its new size in one resampling: bilinear, and antialiased where it shrinks. As it goes along one
    axis after the other, it is two products with matrices that hold the weights of the image's rows and columns.

    Args:
        images: float `[N, C, H, W]` between 0 and 1; C is 1 or 3.
        each: From `changes` for images of this height and width, `[N, 8]`, where the images are.
        size: Height and width of the results.
        recipe: Which.

    Returns:
        Images `[N, C, size, size]`, between 0 and 1.
    """
    height, width = images.shape[2:]
    left, upper, across, down, flip, *jitter = each.to(images.dtype).unbind(1)
    columns = _weights(left, across, width, size)
    columns = torch.where(flip[:, None, None] > 0, columns.flip(1), columns)
    rows = _weights(upper, down, height, size)
    images = _resampled(images, rows, columns)
    if recipe == "crop":
        return images
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in jitter)
    images = (images * brightness).clamp(0, 1)
    images = _blend(images, _grey(images).mean(dim=(2, 3), keepdim=True), contrast)
    return _blend(images, _grey(images), saturation) if images.shape[1] == 3 else images


def changes(numbers: Floats, height: int, width: int, recipe: Literal[True, "crop"] = True) -> Floats:
    """What is done to every image, `[N, 8]`: its crop, whether it is flipped (1 or 0), and its colours' three factors.

    The factors are of brightness, contrast and saturation.

    Args:
        numbers: From `draw_numbers`, `[N, numbers]`.
        height: Of the images, pixels.
        width: Of the images, pixels.
        recipe: Which.
    """
    flip, factors = numbers[:, -4:-3] < 0.5, 1 + _JITTER * (2 * numbers[:, -3:] - 1)
    return np.concatenate([crops(numbers, height, width, recipe), flip, factors], axis=1)


def crops(numbers: Floats, height: int, width: int, recipe: Literal[True, "crop"] = True) -> Floats:
    """The crop of every image, `[N, 4]`: left, upper, width, height, in whole pixels.

    The first of ten proposals that fits, as in `torchvision.transforms.v2.RandomResizedCrop`; the whole image if none
    does, which is torchvision's answer too where the image is a square.
    """
    least, most = _AREA[recipe]
    area = height * width * (least + (most - least) * numbers[:, :_TRIES])
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


def _weights(start: Tensor, length: Tensor, size: int, results: int) -> Tensor:
    """What each of `size` pixels adds to each of `results`, along one axis of every image: `[N, results, size]`.

    A triangle around the place of the result, as wide as a pixel of the crop or of the result, whichever is wider,
    and cut at the crop's ends.
    """
    scale = (length / results)[:, None, None]
    pixels = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5 - start[:, None, None]
    places = (torch.arange(results, device=start.device, dtype=start.dtype)[:, None] + 0.5) * scale
    weights = (pixels - places).abs_().div_(scale.clamp(min=1)).neg_().add_(1).clamp_(min=0)
    weights *= (pixels > 0) & (pixels < length[:, None, None])
    return weights.div_(weights.sum(-1, keepdim=True))


def _resampled(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images `[N, C, H, W]` times the weights of their rows and columns: `[N, C, results, results]`.

    All channels of an image are in one product, which takes half the time of one for each.
    """
    number, channels, height, _ = images.shape
    results = rows.shape[1]
    narrow = torch.bmm(images.flatten(1, 2), columns.mT).view(number, channels, height, results)
    small = torch.bmm(rows, narrow.transpose(1, 2).reshape(number, height, channels * results))
    return small.view(number, results, channels, results).transpose(1, 2).contiguous()


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return (images * _grey_weights(images.device, images.dtype)).sum(1, keepdim=True)


@functools.cache
def _grey_weights(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Kept there: bringing them to a GPU waits for all that it still has to do."""
    return torch.tensor(_GREY, device=device, dtype=dtype).view(1, 3, 1, 1)


def _blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * others).clamp(0, 1)
