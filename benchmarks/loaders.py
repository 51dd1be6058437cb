"""Tasks as they are usually loaded: a `Dataset` of image files or of tensors, easyfsl's sampler, a `DataLoader`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from made import Shape

__all__ = ["ImageFiles", "Pixels", "Tensors", "decode", "loader", "write_files"]

Item = tuple[Tensor, int]


def decode(path: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """The pixels `[C, H, W]` of a file."""
    with Image.open(path) as image:
        image = image.convert("L" if shape.channels == 1 else "RGB")
        if image.size != (shape.size, shape.size):
            image = image.resize((shape.size, shape.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)


class ImageFiles(Dataset[Item]):
    """Files that are decoded, scaled and normalised when they are asked for."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int], shape: Shape) -> None:
        self.paths, self.labels, self.shape = paths, labels, shape

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        return _normalised(decode(self.paths[index], self.shape)), self.labels[index]

    def get_labels(self) -> Sequence[int]:
        """What easyfsl's sampler asks for."""
        return self.labels


class Pixels(ImageFiles):
    """Files decoded beforehand; their pixels are scaled and normalised when they are asked for."""

    def __init__(self, files: ImageFiles) -> None:
        super().__init__(files.paths, files.labels, files.shape)
        self._pixels = [decode(path, self.shape) for path in self.paths]

    def __getitem__(self, index: int) -> Item:
        return _normalised(self._pixels[index]), self.labels[index]


class Tensors(ImageFiles):
    """Items that are finished beforehand."""

    def __init__(self, files: ImageFiles) -> None:
        super().__init__(files.paths, files.labels, files.shape)
        self._items = [files[index] for index in range(len(files))]

    def __getitem__(self, index: int) -> Item:
        return self._items[index]


def _normalised(pixels: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.copy()).float().div_(255).sub_(0.5).div_(0.25)


def loader(dataset: Any, *, shot: int, tasks: int, queries: int = 15) -> Callable[[], Iterator[Any]]:
    """A fresh pass over 5-way tasks, support and query images apart, without workers."""
    with pytest.MonkeyPatch.context() as patch:
        # easyfsl 1.5 hands its base class an argument that PyTorch has dropped
        patch.setattr(Sampler, "__init__", lambda self, *_, **__: None)
        from easyfsl.samplers import TaskSampler  # which a machine that only measures fsbench need not have

        sampler = TaskSampler(dataset, n_way=5, n_shot=shot, n_query=queries, n_tasks=tasks)
    loading = DataLoader(dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
    return lambda: iter(loading)


def write_files(folder: Path, shape: Shape, *, stored: int, kind: str) -> tuple[list[Path], list[int]]:
    """Files of a class pattern with noise, `stored` pixels high and wide, class by class; and their labels."""
    random = np.random.default_rng(0)
    mode = "L" if shape.channels == 1 else "RGB"
    paths, labels = [], []
    for label in range(shape.classes):
        coarse = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8)).convert(mode)
        pattern = np.asarray(coarse.resize((stored, stored), Image.Resampling.BILINEAR), dtype=np.int16)
        for image in range(shape.images):
            noisy = (pattern + random.integers(-32, 32, pattern.shape)).clip(0, 255).astype(np.uint8)
            paths.append(folder / f"{label}-{image}.{kind}")
            Image.fromarray(noisy).save(paths[-1])
            labels.append(label)
    return paths, labels
