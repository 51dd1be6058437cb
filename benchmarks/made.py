"""What is timed: methods with Conv4-64, their plain forms, and made-up images as many and as large as the real ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from fsbench.backbones.norm import BatchNorm2d
from fsbench.backbones.registry import build_backbone
from fsbench.data.prepared import Prepared, write_pack
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.methods.base import FeatureMethod, Method, prototypes
from fsbench.methods.registry import load_method
from fsbench.methods.relation import RelationNet
from fsbench.tasks import Tasks
from helpers.plain import plain_method, plain_relation

__all__ = [
    "DISTINCT",
    "MINIIMAGENET",
    "OMNIGLOT",
    "VINYALS",
    "PlainRelationNet",
    "Shape",
    "contiguous",
    "draw",
    "every",
    "method",
    "plain",
    "store",
]

DISTINCT: Final = 4  # images of a class; the others are copies of these
_PARAMS: Final[dict[str, dict[str, Any]]] = {
    "finetune": {"steps": 100, "rate": 0.01, "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-3},
    "matching": {"scale": 100.0},
    "proto": {"temperature": 1.0},
    "relation": {"hidden": 8},
    "fomaml": {"inner_rate": 0.05, "train_steps": 5, "test_steps": 10},
    "maml": {"inner_rate": 0.05, "train_steps": 5, "test_steps": 10},
    "foprotomaml": {"inner_rate": 0.02, "train_steps": 1, "test_steps": 6, "temperature": 1.0},
}


@dataclass(frozen=True)
class Shape:
    """The test split of a source.

    Attributes:
        title: Its name.
        channels: Of an image.
        size: Height and width of an image, pixels.
        classes: In the split.
        images: Of every class.
    """

    title: str
    channels: int
    size: int
    classes: int
    images: int

    def __str__(self) -> str:
        return f"{self.title}, {self.size}×{self.size}×{self.channels}"


OMNIGLOT: Final = Shape("Omniglot", channels=1, size=28, classes=659, images=20)  # its authors' split
VINYALS: Final = Shape("Omniglot with rotations", channels=1, size=28, classes=1692, images=20)  # of our suite
MINIIMAGENET: Final = Shape("miniImageNet", channels=3, size=84, classes=20, images=600)


def method(name: str, shape: Shape) -> Method:
    """A method as `fsbench run` builds it, always with the same weights."""
    return _build(load_method(name), name, shape).to(memory_format=torch.channels_last)


def plain(name: str, shape: Shape) -> FeatureMethod:
    """The plain form of the same method, with the same weights."""
    built = _build(PlainRelationNet if name == "relation" else load_method(name), name, shape)
    assert isinstance(built, FeatureMethod)
    return plain_method(built)


def store(folder: Path, shape: Shape) -> ImageStore:
    """The images of a split: a pattern of the class plus one of `DISTINCT` patterns of noise, hard to tell apart."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 128, (shape.classes, 1, shape.channels, shape.size, shape.size), dtype=np.uint8)
    noise = random.integers(0, 128, (1, DISTINCT, *patterns.shape[2:]), dtype=np.uint8)
    images = (patterns + noise).reshape(-1, *patterns.shape[2:]).repeat(shape.images // DISTINCT, axis=0)
    pack = write_pack(
        folder,
        "made",
        Prepared(
            images=images,
            labels=np.repeat(np.arange(shape.classes), shape.images),
            names=[str(number) for number in range(len(images))],
            classes=[str(label) for label in range(shape.classes)],
            splits={"test": range(shape.classes)},
            processing={"made": "for benchmarks"},
        ),
    )
    return ImageStore(pack, "test", torch.device("cpu"), [0.5] * shape.channels, [0.25] * shape.channels)


def every(step: int, images: ImageStore) -> ImageStore:
    """A store with only every `step`-th image to embed."""
    part = copy.copy(images)
    part.indices = images.indices[::step]
    return part


def draw(images: ImageStore, episodes: int, shot: int) -> Episodes:
    """5-way episodes with 15 queries a class."""
    return draw_episodes(pool_of(images.pack, images.split), FixedProtocol(images.split, 5, shot, 15, episodes, seed=0))


def contiguous(tasks: Tasks) -> Tasks:
    """The same tasks, their images laid out in PyTorch's default way."""
    return replace(tasks, support=tasks.support.contiguous(), query=tasks.query.contiguous())


class PlainRelationNet(RelationNet):
    """RelationNet with every pair of a query and a class concatenated."""

    def relate(self, support: Tensor, labels: Tensor, query: Tensor, way: int, *, batch_statistics: bool) -> Tensor:
        centres = prototypes(support.flatten(2), labels, way).unflatten(2, support.shape[2:])
        return torch.stack([plain_relation(self, *task) for task in zip(centres, query, strict=True)])


def _build(kind: type[Method], name: str, shape: Shape) -> Method:
    make_backbone = partial(build_backbone, "conv4", channels=shape.channels, size=shape.size, width=64)
    torch.manual_seed(0)
    built = kind(make_backbone, 64, **_PARAMS.get(name, {}))
    for norm in built.modules():
        if isinstance(norm, BatchNorm2d):  # about what images of unit variance give
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.running_var, 0.2, 0.4)
    return built
