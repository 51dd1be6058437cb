"""MetaOptNet."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.dual import DualHead
from fsbench.methods.r2d2 import ridge
from fsbench.methods.svm import solve_svm
from fsbench.tasks import PooledTasks, Tasks

__all__ = ["MetaOptNetRidge", "MetaOptNetSVM"]

_Share: TypeAlias = Annotated[float, Field(ge=0, le=0.5)]


class _MetaOptNet(DualHead):
    """Lee et al., "Meta-learning with differentiable convex optimization", CVPR 2019: what its heads share.

    The loss is the cross-entropy to labels of which a share, `smoothing`, is spread over the other classes.

    Args:
        scale: Of the logits, at first; theirs is 1.
        smoothing: Share of a query's label, at most one half; theirs is 0.1.
    """

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, scale: PositiveFloat, smoothing: _Share) -> None:
        super().__init__(make_backbone, classes, scale=scale)
        self.smoothing = smoothing

    def loss(self, tasks: Tasks | PooledTasks) -> Tensor:
        """Cross-entropy of the queries with smoothed labels."""
        spread = self.smoothing * tasks.way / (tasks.way - 1)  # torch spreads it over all classes, the right one too
        return F.cross_entropy(self.answer(tasks).flatten(0, 1), tasks.query_labels.flatten(), label_smoothing=spread)


class MetaOptNetRidge(_MetaOptNet):
    """MetaOptNet with ridge regression: Lee et al., CVPR 2019, section 3, and the authors' code.

    That solves the regression to twice the indicator vectors, as a quadratic program; here it is solved in closed form.
    It is R2-D2 but for that factor, which the learned scale would make up for.

    Args:
        penalty: Of the squared weights; theirs is 50.
        scale: Of the logits, at first; theirs is 1.
        smoothing: Share of a query's label, at most one half; theirs is 0.1.
    """

    label = "MetaOptNet-RR"

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        penalty: PositiveFloat,
        scale: PositiveFloat,
        smoothing: _Share,
    ) -> None:
        super().__init__(make_backbone, classes, scale=scale, smoothing=smoothing)
        self.penalty = penalty

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The ridge regression's, float64 `[B, S, way]`."""
        return ridge(products, 2 * members, self.penalty)


class MetaOptNetSVM(_MetaOptNet):
    """MetaOptNet with support vector machines: Lee et al., CVPR 2019, equations 6 to 8.

    The head is Crammer and Singer's multi-class machine. As in the authors' code the identity is added to the products
    of support features, which makes the solution unique, and where no bound binds the ridge regression with a
    penalty of 1.

    Deviations: the authors' solver of quadratic programs stops after 15 iterations in training and after 3 at test,
    with warnings that its solutions are inaccurate; here they are exact. One model is trained at 15 shots for all
    shots of the test, if the suite says so (`shot` of its training).

    The time of a task grows with its ways and with the cube of its support images.

    Args:
        c: Bound of the coefficient of a support image for its class; theirs is 0.1.
        scale: Of the logits, at first; theirs is 1.
        smoothing: Share of a query's label, at most one half; theirs is 0.1.
    """

    label = "MetaOptNet-SVM"

    def __init__(
        self, make_backbone: MakeBackbone, classes: int, *, c: PositiveFloat, scale: PositiveFloat, smoothing: _Share
    ) -> None:
        super().__init__(make_backbone, classes, scale=scale, smoothing=smoothing)
        self.c = c

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The machine's, float64 `[B, S, way]`."""
        return solve_svm(products, members, self.c)
