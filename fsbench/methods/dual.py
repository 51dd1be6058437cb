"""Methods that solve for a linear head in terms of the support images: by products of features alone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import MetricMethod, one_hot

__all__ = ["DualHead", "SolvedHead"]


class SolvedHead(ABC):
    """A linear head whose weights are combinations of the support features, solved for on products of these."""

    @abstractmethod
    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The heads' coefficients of the support images, float64 `[B, S, way]`.

        Args:
            products: Of the support features with each other, float64 `[B, S, S]`.
            members: The labels as indicator vectors, float64 `[B, S, way]`.
        """


class DualHead(SolvedHead, MetricMethod):
    """A backbone trained through linear heads that are the exact solutions of a convex problem on each support set.

    The weights of such a head are combinations of the support features, W = X^T A, so that A is solved for on the
    products of support features, [S, S] however long these are. The logits are Q W times a learned scale,
    without which solutions that fit indicator vectors would make a nearly flat softmax.

    The weights are computed in float64: products of raw features are large, and coefficients of features that depend
    on each other cancel. A system that is singular even so gives logits that are not finite, which training and
    evaluation report.

    Deviation of all of them: the scale is learned as its logarithm, so that a step changes it by as much whatever
    it starts from, and it stays positive.

    Args:
        scale: Of the logits, at first.
    """

    fits_head = True
    replayable = False  # which library solves a system, and whether it waits for the device, depends on the shapes

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, scale: PositiveFloat) -> None:
        super().__init__(make_backbone, classes)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`."""
        precise = support.double()
        solved = self.coefficients(precise @ precise.mT, one_hot(labels, way, precise))
        weights = precise.mT @ solved  # large coefficients of dependent features cancel here
        return self.log_scale.exp() * (query @ weights.to(query.dtype))
