"""Tasks: episodes as tensors on the device, gathered from a pack in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Batch", "PooledTasks", "Tasks", "join_batches", "join_tasks"]


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

    @property
    def images(self) -> Tensor:
        """All images as one batch `[B * (S + Q), C, H, W]`: the support of every task, then the queries."""
        return torch.cat([self.support.flatten(0, 1), self.query.flatten(0, 1)])

    def gathered(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of features of `images`, those of the support `[B, S, ...]` and of the queries `[B, Q, ...]`."""
        split, shape = self.support_labels.numel(), features.shape[1:]
        return (
            features[:split].view(*self.support_labels.shape, *shape),
            features[split:].view(*self.query_labels.shape, *shape),
        )


@dataclass(frozen=True)
class PooledTasks:
    """A batch of B tasks on the same N images, for a training that embeds every image once.

    Attributes:
        images: float `[N, C, H, W]`, normalised.
        support: Which of the images are a task's support, int64 `[B, S]`.
        support_labels: int64 `[B, S]`, labels within the task, 0 to way - 1.
        query: Which of the images are a task's queries, int64 `[B, Q]`.
        query_labels: int64 `[B, Q]`.
        way: Classes per task.
    """

    images: Tensor
    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    way: int

    def __len__(self) -> int:
        return len(self.support)

    def gathered(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of features of `images`, those of the support `[B, S, ...]` and of the queries `[B, Q, ...]`."""
        return _of(features, self.support), _of(features, self.query)


def _of(features: Tensor, images: Tensor) -> Tensor:
    """Features of some images `[*images, ...]`, laid out in memory as they were.

    They are those of `features[images]`, whose gradient several threads of a CPU would add up in any order.
    """
    last = features.movedim(1, -1)
    return last.index_select(0, images.flatten()).view(*images.shape, *last.shape[1:]).movedim(-1, images.ndim)


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
