"""MetaOptNet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.errors import UsageError
from fsbench.methods.dual import DualHead, check_positive
from fsbench.methods.r2d2 import ridge
from fsbench.methods.svm import solve_svm
from fsbench.tasks import PooledTasks, Tasks

__all__ = ["MetaOptNetRidge", "MetaOptNetSVM"]


class _MetaOptNet(DualHead):
    """Lee et al., "Meta-learning with differentiable convex optimization", CVPR 2019: what its heads share.

    The loss is the cross-entropy to labels of which a share, `smoothing`, is spread over the other classes.

    Args:
        scale: Of the logits, at first; theirs is 1.
        smoothing: Share of a query's label, at most one half; theirs is 0.1.

    Raises:
        UsageError: A hyper-parameter is out of its range.
    """

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, scale: float, smoothing: float) -> None:
        super().__init__(make_backbone, classes, scale=scale)
        if not 0 <= smoothing <= 0.5:
            raise UsageError(f"smoothing of {self.label} is {smoothing}; it must lie between 0 and 0.5.")
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

    Raises:
        UsageError: A hyper-parameter is out of its range.
    """

    label = "MetaOptNet-RR"

    def __init__(
        self, make_backbone: MakeBackbone, classes: int, *, penalty: float, scale: float, smoothing: float
    ) -> None:
        super().__init__(make_backbone, classes, scale=scale, smoothing=smoothing)
        check_positive(self.label, "penalty", penalty)
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

    Raises:
        UsageError: A hyper-parameter is out of its range.
    """

    label = "MetaOptNet-SVM"
    replayable = False  # which entries lie on their bounds is found by looking

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, c: float, scale: float, smoothing: float) -> None:
        super().__init__(make_backbone, classes, scale=scale, smoothing=smoothing)
        check_positive(self.label, "c", c)
        self.c = c

    def coefficients(self, products: Tensor, members: Tensor) -> Tensor:
        """The machine's, float64 `[B, S, way]`."""
        return solve_svm(products, members, self.c)
