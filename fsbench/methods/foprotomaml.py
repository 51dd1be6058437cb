"""fo-Proto-MAML."""

from __future__ import annotations

from torch import Tensor

from fsbench.methods.base import prototypes
from fsbench.methods.gradient import GradientMethod
from fsbench.tasks import Tasks

__all__ = ["FirstOrderProtoMAML"]


class FirstOrderProtoMAML(GradientMethod):
    """First-order Proto-MAML: Triantafillou et al., ICLR 2020, section 3 and appendix.

    fo-MAML whose head starts as the linear form of ProtoNet, W_k = 2 c_k and b_k = -|c_k|^2 for the
    prototype c_k of class k. The prototypes are not detached: the outer gradient reaches the initial
    weights through them too, while every inner gradient is constant.
    """

    label = "fo-Proto-MAML"

    def initial_head(self, tasks: Tasks, backbone: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The head that classifies as ProtoNet does."""
        features = self.features(backbone, tasks.support, tasks.support.shape[1])
        centres = prototypes(features, tasks.support_labels, tasks.way)
        return 2 * centres, -centres.square().sum(-1)
