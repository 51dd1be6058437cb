"""Siamese networks."""

from __future__ import annotations

from typing import Annotated, Final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import MetricMethod, nearest
from fsbench.tasks import PooledTasks, Tasks

__all__ = ["Siamese"]

_LEAST: Final = 1e-12  # added to squared distances: the root of 0 has no gradient


class Siamese(MetricMethod):
    """Siamese network with the contrastive loss of Hadsell, Chopra and LeCun, CVPR 2006, equation 4.

    A pair of images at distance d costs d^2 if both are of one class, and max(0, margin - d)^2 if not. All pairs of
    a task's images are taken, support and queries alike, and of either kind the mean: they weigh as if pairs of both
    were drawn equally often. A query gets the class of the nearest support image, which at one shot is the test of
    Koch, Zemel and Salakhutdinov (ICML Deep Learning Workshop 2015).

    Deviations: the features are scaled to length 1, so that the margin means the same for every backbone. Hadsell et
    al. have halves before both terms, which change nothing. Koch et al. train on pairs of all classes with a logistic
    loss on weighted absolute differences of features.

    Args:
        margin: Distance, at most 2, from which on images of different classes cost nothing.
    """

    label = "Siamese"

    def __init__(
        self, make_backbone: MakeBackbone, classes: int, *, margin: Annotated[float, Field(gt=0, le=2)]
    ) -> None:
        super().__init__(make_backbone, classes)
        self.margin = margin

    def embed(self, images: Tensor) -> Tensor:
        """Features `[N, D]` of length 1."""
        return F.normalize(self.backbone(images), dim=-1)

    def loss(self, tasks: Tasks | PooledTasks) -> Tensor:
        """Contrastive loss of all pairs within a task, both kinds weighing the same; mean over the tasks."""
        features = torch.cat(tasks.gathered(self.embed(tasks.images)), dim=1)
        labels = torch.cat([tasks.support_labels, tasks.query_labels], dim=1)
        alike = labels.unsqueeze(1) == labels.unsqueeze(2)
        squares, once = _squares(features, features), torch.ones_like(alike).triu(1)
        apart = (self.margin - squares.sqrt()).clamp_min(0).square()
        return (_mean(squares, alike & once) + _mean(apart, ~alike & once)) / 2

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: minus the distance to the nearest support image of a class."""
        return nearest(-_squares(query, support).sqrt(), labels, way)


def _squares(one: Tensor, other: Tensor) -> Tensor:
    """Squared distances `[B, N, M]` of features `[B, N, D]` and `[B, M, D]`."""
    lengths = one.square().sum(-1, keepdim=True) + other.square().sum(-1).unsqueeze(1)
    return (lengths - 2 * one @ other.mT).clamp_min(0) + _LEAST


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum()
