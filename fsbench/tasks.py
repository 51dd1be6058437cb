"""Tasks: episodes as tensors on the device, gathered from a pack in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Batch", "Tasks", "join_batches", "join_tasks"]


@dataclass(frozen=True)
class Tasks:
    """A batch of B tasks with S support and Q query images each.

    Nothing says that classes have equal shots: read `support_labels`.

    Attributes:
        support: float `[B, S, C, H, W]`, normalised.
        support_labels: int64 `[B, S]`, labels within the task, 0 to way - 1.
        query: float `[B, Q, C, H, W]`.
        query_labels: int64 `[B, Q]`; for losses and scores, never for predictions.
        way: Classes per task.
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    way: int

    def __len__(self) -> int:
        return len(self.support)

    def __getitem__(self, which: slice) -> Tasks:
        return Tasks(
            self.support[which], self.support_labels[which], self.query[which], self.query_labels[which], self.way
        )


@dataclass(frozen=True)
class Batch:
    """Labelled images without episodes: float `[N, C, H, W]` and int64 `[N]`, labels 0 to classes - 1."""

    images: Tensor
    labels: Tensor


def join_tasks(parts: Sequence[Tasks]) -> Tasks:
    """Tasks of one shape as one batch."""
    if len(parts) == 1:
        return parts[0]
    return Tasks(
        support=torch.cat([part.support for part in parts]),
        support_labels=torch.cat([part.support_labels for part in parts]),
        query=torch.cat([part.query for part in parts]),
        query_labels=torch.cat([part.query_labels for part in parts]),
        way=parts[0].way,
    )


def join_batches(parts: Sequence[Batch]) -> Batch:
    """Labelled images as one batch."""
    return Batch(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
