"""Linear heads that are solved on each support set: ridge and logistic regression on features of unit length."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import ClassifierMethod, one_hot
from fsbench.methods.dual import SolvedHead, check_positive
from fsbench.methods.r2d2 import ridge

__all__ = ["LogisticHead", "RidgeHead"]

_ACCURACY: Final = 1e-10  # of the coefficients, beside those that they start from


class _UnitLengthHead(SolvedHead, ClassifierMethod):
    """Features are brought to unit length, there is no bias, and all is computed in float64."""

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`."""
        shown, asked = (F.normalize(features.double(), dim=-1) for features in (support, query))
        solved = self.coefficients(shown @ shown.mT, one_hot(labels, way, shown))
        return (asked @ shown.mT @ solved).to(query.dtype)


class RidgeHead(_UnitLengthHead):
    """Ridge regression from support features to indicator vectors of the classes.

    The head of R2-D2 (Bertinetto et al., ICLR 2019) on frozen features; see `fsbench.methods.r2d2`.

    Args:
        penalty: Of the squared weights.

    Raises:
        UsageError: It is not positive.
    """

    label = "Ridge"

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, penalty: float) -> None:
        super().__init__(make_backbone, classes)
        check_positive(self.label, "penalty", penalty)
        self.penalty = penalty

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The regression's, float64 `[B, S, way]`."""
        return ridge(products, members, self.penalty)


class LogisticHead(_UnitLengthHead):
    """Multinomial logistic regression: Tian et al., "Rethinking few-shot image classification", ECCV 2020, section 3.1.

    The head minimises strength * (sum of the cross-entropies of the support images) + half the squared weights, as
    scikit-learn's `LogisticRegression(C=strength)` does, which the authors use on features of unit length. The
    objective is smooth and strongly convex, so Nesterov's method ("Introductory lectures on convex optimization",
    2004, 2.2.22) comes as close to the minimum as asked for in a number of steps that is known beforehand, for all
    tasks side by side.

    Deviation: there is no bias.

    Args:
        strength: Of the cross-entropy; theirs is 1.

    Raises:
        UsageError: It is not positive.
    """

    label = "Logistic"

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, strength: float) -> None:
        super().__init__(make_backbone, classes)
        check_positive(self.label, "strength", strength)
        self.strength = strength

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The minimum's, float64 `[B, S, way]`; gradients are those of the weights, seen by their coefficients."""
        # The largest curvature: half of the largest eigenvalue of the products, which is at most their trace.
        steepest = 1 + self.strength * products.shape[-1] / 2
        root = math.sqrt(steepest)
        momentum = (root - 1) / (root + 1)
        head = before = torch.zeros_like(members)
        for _ in range(math.ceil(-root * math.log(_ACCURACY))):
            ahead = head + momentum * (head - before)
            gradient = self.strength * ((products @ ahead).softmax(-1) - members) + ahead
            before, head = head, ahead - gradient / steepest
        return head
