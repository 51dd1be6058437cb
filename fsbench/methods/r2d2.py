"""R2-D2."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.dual import DualHead

__all__ = ["R2D2", "ridge"]


class R2D2(DualHead):
    """Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019, section 3.

    The head is the ridge regression from support features to indicator vectors of the classes, in Woodbury's form,
    W = X^T (X X^T + penalty I)^-1 Y: a system as large as the support set instead of as the features.

    Deviations: no constant is added to the logits, which would change neither loss nor answer; the penalty is fixed
    (the authors learn it, or not, by an option). Their code divides X and Y by the square root of the number of
    support images, which is a penalty times that number here, and gives features a last one that is always one. Way
    and shot of training are the suite's, where the paper draws shots, from 1 to 10. Its networks have leaky ReLUs and
    dropout, and give the features of their last two blocks.

    Args:
        penalty: Of the squared weights.
        scale: Of the logits, at first.
    """

    label = "R2-D2"

    def __init__(
        self, make_backbone: MakeBackbone, classes: int, *, penalty: PositiveFloat, scale: PositiveFloat
    ) -> None:
        super().__init__(make_backbone, classes, scale=scale)
        self.penalty = penalty

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The ridge regression's, float64 `[B, S, way]`."""
        return ridge(products, members, self.penalty)


def ridge(products: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """Coefficients `[B, S, way]` of ridge regressions to `targets` `[B, S, way]` from products `[B, S, S]`.

    A singular system gives values that are not finite, without waiting for the device to say so.
    """
    eye = torch.eye(products.shape[-1], dtype=products.dtype, device=products.device)
    solved: Tensor = torch.linalg.solve_ex(products + penalty * eye, targets)[0]
    return solved
