"""An easy problem that nothing has to be read for: small synthetic images of eight classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from fsbench.tasks import Batch, Tasks

__all__ = ["CHANNELS", "CLASSES", "SIZE", "WAY", "draw_batch", "draw_tasks"]

CLASSES: Final = 8
CHANNELS: Final = 3
SIZE: Final = 24  # pixels; the smallest maps that RelationNet can pool twice need 22
WAY: Final = 5
_COARSE: Final = 4  # cells of a pattern along either edge
_SIGNAL, _NOISE, _DISTRACTION = 1.0, 0.1, 1.0  # standard deviations


def draw_tasks(
    *,
    tasks: int = 2,
    way: int = WAY,
    shots: Sequence[int] | int = 2,
    queries: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Tasks:
    """Tasks of random classes, support and queries sorted by class; with more than `CLASSES`, some are alike.

    Args:
        tasks: B.
        way: Classes per task.
        shots: Support images per class, or those of every class.
        queries: Per class.
        seed: Of everything random.
        dtype: Of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    number = max(way, CLASSES)
    chosen = torch.stack([torch.randperm(number, generator=generator)[:way] for _ in range(tasks)]) % CLASSES
    each = torch.tensor([shots] * way if isinstance(shots, int) else list(shots))
    support, query = (torch.arange(way).repeat_interleave(counts) for counts in (each, torch.tensor([queries] * way)))
    return Tasks(
        support=_images(chosen[:, support], generator, dtype),
        support_labels=support.repeat(tasks, 1),
        query=_images(chosen[:, query], generator, dtype),
        query_labels=query.repeat(tasks, 1),
        way=way,
    )


def draw_batch(*, images: int = 32, seed: int = 0, dtype: torch.dtype = torch.float64) -> Batch:
    """Images of random classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (images,), generator=generator)
    return Batch(_images(labels, generator, dtype), labels)


def _images(labels: Tensor, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Images `[..., CHANNELS, SIZE, SIZE]`: the first channel shows the class, the others a distraction."""
    patterns = torch.randn(CLASSES, 1, _COARSE, _COARSE, generator=torch.Generator().manual_seed(0))
    others = torch.randn(*labels.shape, CHANNELS - 1, _COARSE, _COARSE, generator=generator)
    coarse = torch.cat([_SIGNAL * patterns[labels], _DISTRACTION * others], dim=-3)
    fine = coarse.repeat_interleave(SIZE // _COARSE, -1).repeat_interleave(SIZE // _COARSE, -2)
    return (fine + _NOISE * torch.randn(fine.shape, generator=generator)).to(dtype)
