"""Linear heads that are solved on each support set: ridge and logistic regression on features of unit length."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import ClassifierMethod, one_hot
from fsbench.methods.dual import SolvedHead
from fsbench.methods.r2d2 import ridge

__all__ = ["LogisticEnsemble", "LogisticHead", "RidgeHead"]

_ACCURACY: Final = 1e-10  # of the coefficients, beside those that they start from
_Strength: TypeAlias = Annotated[float, Field(gt=0, le=1e6)]  # of the strongest 25 images take some 80,000 steps


class _UnitLengthHead(SolvedHead, ClassifierMethod):
    """Features are brought to unit length, there is no bias, and all is computed in float64."""

    fits_head = True

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`."""
        shown, asked = (F.normalize(features.double(), dim=-1) for features in (support, query))
        return (asked @ self.weights(shown, one_hot(labels, way, shown))).to(query.dtype)

    def weights(self, shown: Tensor, members: Tensor) -> Tensor:
        """The heads' weights `[B, D, way]`, of support features `[B, S, D]` and labels as indicators `[B, S, way]`."""
        return shown.mT @ self.coefficients(shown @ shown.mT, members)


class RidgeHead(_UnitLengthHead):
    """Ridge regression from support features to indicator vectors of the classes.

    The head of R2-D2 (Bertinetto et al., ICLR 2019) on frozen features; see `fsbench.methods.r2d2`.

    Args:
        penalty: Of the squared weights.
    """

    label = "Ridge"

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, penalty: PositiveFloat) -> None:
        super().__init__(make_backbone, classes)
        self.penalty = penalty

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The regression's, float64 `[B, S, way]`."""
        return ridge(products, members, self.penalty)

    def weights(self, shown: Tensor, members: Tensor) -> Tensor:
        """The same, of more images than features by the smaller system of these."""
        if shown.shape[1] > shown.shape[2]:
            return ridge(shown.mT @ shown, shown.mT @ members, self.penalty)
        return super().weights(shown, members)


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
    """

    label = "Logistic"

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, strength: _Strength) -> None:
        super().__init__(make_backbone, classes)
        self.strength = strength

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The minimum's, float64 `[B, S, way]`."""
        return _logistic(products, members, self.strength)


class LogisticEnsemble(ClassifierMethod):
    """Logistic regressions of several strengths at once, for sources without validation classes to choose one on.

    The hyper-parameter ensemble of Luo et al., "Benchmarking few-shot transferability of pre-trained models with
    improved evaluation protocols", arXiv 2603.00478, 2026: every value of a grid gives an answer.

    Deviation: the logits are the logarithms of the heads' mean probabilities, where the authors let the heads vote.

    Args:
        strengths: As of `LogisticHead`, two or more.
    """

    label = "Logistic (ensemble)"
    fits_head = True

    def __init__(
        self, make_backbone: MakeBackbone, classes: int, *, strengths: Annotated[list[_Strength], Field(min_length=2)]
    ) -> None:
        super().__init__(make_backbone, classes)
        self.strengths = tuple(strengths)

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`."""
        shown, asked = (F.normalize(features.double(), dim=-1) for features in (support, query))
        products, members, similar = shown @ shown.mT, one_hot(labels, way, shown), asked @ shown.mT
        heads = [similar @ _logistic(products, members, strength) for strength in self.strengths]
        return torch.stack(heads).log_softmax(-1).logsumexp(0).to(query.dtype)


def _logistic(products: Tensor, members: Tensor, strength: float) -> Tensor:
    """Coefficients `[B, S, way]` of the minimum; gradients are those of the weights, seen by their coefficients."""
    # The largest curvature: half of the largest eigenvalue of the products, which is at most their trace.
    steepest = 1 + strength * products.shape[-1] / 2
    root = math.sqrt(steepest)
    momentum = (root - 1) / (root + 1)
    head = before = torch.zeros_like(members)
    for _ in range(math.ceil(-root * math.log(_ACCURACY))):
        ahead = head + momentum * (head - before)
        gradient = strength * ((products @ ahead).softmax(-1) - members) + ahead
        before, head = head, ahead - gradient / steepest
    return head
