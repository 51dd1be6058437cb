"""ProtoNet."""

from __future__ import annotations

from torch import Tensor

from fsbench.methods.base import MetricMethod, prototypes

__all__ = ["ProtoNet"]


class ProtoNet(MetricMethod):
    """Prototypical networks: Snell, Swersky and Zemel, NeurIPS 2017, equations 1 and 2.

    The logit of a class is minus the squared Euclidean distance from the query to the class's mean
    support feature, with neither temperature nor division by the dimension. No deviation from the paper
    but the default way of training, which the suite states.
    """

    label = "ProtoNet"

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: minus squared distances."""
        centres = prototypes(support, labels, way)
        cross = query @ centres.transpose(1, 2)
        return 2 * cross - centres.square().sum(-1).unsqueeze(1) - query.square().sum(-1, keepdim=True)
