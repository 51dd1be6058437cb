"""Augmentation: every image as torchvision makes it from the same numbers, drawn as torchvision draws them."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from fsbench.engine.augmentation import Floats, augment, changes, crops, draw_numbers

SIZE = 42


def images(count: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, SIZE, SIZE, generator=generator, dtype=torch.float64)


def of(numbers: Floats, recipe: Literal[True, "crop"] = True) -> torch.Tensor:
    """The changes that numbers make to such images."""
    return torch.from_numpy(changes(numbers, SIZE, SIZE, recipe))


@pytest.mark.parametrize("size", [SIZE, 24, 60])
@pytest.mark.parametrize("channels", [1, 3])
def test_is_torchvision_image_by_image(channels: int, size: int) -> None:
    numbers = draw_numbers(20, seed=3, index=7)
    given = images(20, channels)
    made = augment(given, of(numbers), size)
    for image, result, row, crop in zip(given, made, numbers, crops(numbers, SIZE, SIZE), strict=True):
        expected = cropped(image, row, crop, size)
        brightness, contrast, saturation = 1 + 0.4 * (2 * row[-3:] - 1)
        expected = functional.adjust_brightness(expected, brightness)
        expected = functional.adjust_contrast(expected, contrast)
        expected = functional.adjust_saturation(expected, saturation)
        torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [SIZE, 24, 60])
def test_the_lighter_recipe_crops_and_flips_alone(size: int) -> None:
    numbers = draw_numbers(20, seed=3, index=7)
    given, boxes = images(20), crops(numbers, SIZE, SIZE, "crop")
    made = augment(given, of(numbers, "crop"), size, "crop")
    for image, result, row, crop in zip(given, made, numbers, boxes, strict=True):
        torch.testing.assert_close(result, cropped(image, row, crop, size), atol=1e-6, rtol=0)
    assert (boxes[:, 2:].prod(1) > 0.33 * SIZE**2).all()


def cropped(image: torch.Tensor, row: np.ndarray, crop: np.ndarray, size: int) -> torch.Tensor:
    left, upper, width, height = map(int, crop)
    made = functional.resized_crop(image, upper, left, height, width, [size, size], antialias=True)
    return functional.horizontal_flip(made) if row[-4] < 0.5 else made


def test_crops_have_the_distribution_of_torchvision() -> None:
    ours = crops(draw_numbers(4000, seed=0, index=0), SIZE, SIZE)
    crop = v2.RandomResizedCrop(SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [crop.make_params([images(1)[0]]) for _ in range(4000)]
    theirs = np.array([[params[name] for name in ("left", "top", "width", "height")] for params in drawn])
    # means of 4000 draws, whose standard errors are below 0.2 pixels
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.8)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.8)
    assert (ours[:, :2] >= 0).all() and (ours[:, :2] + ours[:, 2:] <= SIZE).all()


def test_numbers_have_an_address() -> None:
    numbers = draw_numbers(5, seed=1, index=2)
    assert (numbers == draw_numbers(5, seed=1, index=2)).all()
    assert (numbers[:3] == draw_numbers(3, seed=1, index=2)).all()
    assert (numbers != draw_numbers(5, seed=1, index=3)).all()
    assert (numbers != draw_numbers(5, seed=2, index=2)).all()


def test_one_image_does_not_change_another() -> None:
    numbers = draw_numbers(6, seed=0, index=0)
    given = images(6)
    torch.testing.assert_close(augment(given, of(numbers), SIZE)[2:4], augment(given[2:4], of(numbers[2:4]), SIZE))


def test_the_numbers_of_an_address_are_frozen() -> None:
    numbers = draw_numbers(5, seed=1, index=2).astype("<f8")
    assert hashlib.sha256(numbers.tobytes()).hexdigest() == (
        "e8c58105acc7715144724833266031cc094b9eeae37cd7e148b52e2c7bc34828"
    )
