"""Small synthetic images, tasks and methods, easy enough to be learned in seconds."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fsbench.backbones.registry import build_backbone
from fsbench.data.pack import Pack
from fsbench.data.prepared import Prepared, write_pack
from fsbench.methods.base import Method
from fsbench.methods.registry import METHODS, load_method
from fsbench.tasks import Tasks

SIZE, WIDTH = 28, 8
PARAMS: dict[str, dict[str, Any]] = {
    "knn": {},
    "finetune": {"steps": 50, "rate": 0.1, "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-3},
    "finetune-all": {
        **{"steps": 5, "rate": 0.1, "backbone_rate": 0.05},
        **{"momentum": 0.9, "dampening": 0.0, "weight_decay": 1e-3},
    },
    "simpleshot": {},
    "logistic": {"strength": 1.0},
    "logistic-ensemble": {"strengths": [0.1, 1.0, 10.0]},
    "ridge": {"penalty": 0.1},
    "cosine": {"steps": 20, "rate": 0.1, "scale": 10.0},
    "matching": {"scale": 10.0},
    "proto": {"temperature": 1.0},
    "r2d2": {"penalty": 1.0, "scale": 10.0},
    "metaoptnet-ridge": {"penalty": 1.0, "scale": 5.0, "smoothing": 0.1},
    "metaoptnet-svm": {"c": 1.0, "scale": 10.0, "smoothing": 0.1},
    "siamese": {"margin": 1.0},
    "leo": {
        **{"latent": 6, "latent_steps": 2, "weight_steps": 2, "latent_rate": 1.0, "weight_rate": 1.0},
        **{"dropout": 0.0, "divergence": 1e-3, "pull": 1e-6, "orthogonality": 0.1},
    },
    "relation": {"hidden": 8},
    "relation-transductive": {"hidden": 8},
    "fomaml": {"inner_rate": 0.1, "train_steps": 3, "test_steps": 5},
    "fomaml-transductive": {"inner_rate": 0.1, "train_steps": 3, "test_steps": 5},
    "foprotomaml": {"inner_rate": 0.05, "train_steps": 2, "test_steps": 3, "temperature": 2.0},
    "maml": {"inner_rate": 0.1, "train_steps": 2, "test_steps": 3},
    "maml-transductive": {"inner_rate": 0.1, "train_steps": 2, "test_steps": 3},
    "anil": {"inner_rate": 0.1, "train_steps": 3, "test_steps": 5},
}
NAMES = [info.name for info in METHODS]


def write_small_pack(
    folder: Path,
    *,
    classes: tuple[int, int, int] = (12, 6, 8),
    images: int = 20,
    size: int = SIZE,
    seed: int = 0,
    source: str = "small",
) -> Pack:
    """A pack of smooth random patterns, one a class, each image with noise and another contrast."""
    random = np.random.default_rng(seed)
    number = sum(classes)
    coarse = random.random((number, 1, 1, 4, 4))
    patterns = np.kron(coarse, np.ones((1, 1, 1, size // 4, size // 4)))
    contrast = random.uniform(0.7, 1.0, (number, images, 1, 1, 1))
    noisy = patterns * contrast + random.normal(0, 0.08, (number, images, 1, size, size))
    pixels = (255 * noisy.clip(0, 1)).astype(np.uint8).reshape(-1, 1, size, size)
    labels = np.repeat(np.arange(number), images)
    starts = np.cumsum([0, *classes])
    return write_pack(
        folder,
        source,
        Prepared(
            images=pixels,
            labels=labels,
            names=[f"{label}/{image}" for label in range(number) for image in range(images)],
            classes=[f"class {label}" for label in range(number)],
            splits={split: range(starts[i], starts[i + 1]) for i, split in enumerate(("train", "val", "test"))},
            processing={"made": "for tests"},
        ),
    )


def build(name: str, *, classes: int = 12, seed: int = 0, **changes: Any) -> Method:
    """A method with small, seeded weights."""
    make_backbone = functools.partial(build_backbone, "conv4", channels=1, size=SIZE, width=WIDTH)
    torch.manual_seed(seed)
    return load_method(name)(make_backbone, classes, **(PARAMS[name] | changes))


def random_tasks(batch: int = 2, way: int = 5, shot: int = 2, queries: int = 3, seed: int = 0) -> Tasks:
    """Tasks of random images in float64."""
    generator = torch.Generator().manual_seed(seed)

    def images(count: int) -> torch.Tensor:
        return torch.rand(batch, count, 1, SIZE, SIZE, generator=generator, dtype=torch.float64)

    def labels(each: int) -> torch.Tensor:
        return torch.arange(way).repeat_interleave(each).repeat(batch, 1)

    return Tasks(images(way * shot), labels(shot), images(way * queries), labels(queries), way)
