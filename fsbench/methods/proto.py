"""ProtoNet."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import MetricMethod, prototypes

__all__ = ["ProtoNet"]


class ProtoNet(MetricMethod):
    """Prototypical networks: Snell, Swersky and Zemel, NeurIPS 2017, equations 1 and 2.

    The logit of a class is minus the squared Euclidean distance from the query to the class's mean
    support feature, divided by `temperature`.

    Deviations: the paper has no temperature, which is a temperature of 1. It changes no answer, but how
    the loss weighs the queries: unscaled distances between untrained features of many dimensions make
    first losses in the hundreds. The authors' code keeps the weights of the lowest loss on fresh validation
    episodes, not those of the highest accuracy on fixed ones. Their batch normalisation started with scales
    between 0 and 1 (`norm_scale` of the suite). The way of training is the suite's.

    Args:
        temperature: Divides the squared distances.
    """

    label = "ProtoNet"
    fits_head = True

    def __init__(self, make_backbone: MakeBackbone, classes: int, *, temperature: PositiveFloat) -> None:
        super().__init__(make_backbone, classes)
        self.temperature = temperature

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`: minus squared distances over the temperature."""
        centres = prototypes(support, labels, way)
        cross = query @ centres.transpose(1, 2)
        negative = 2 * cross - centres.square().sum(-1).unsqueeze(1) - query.square().sum(-1, keepdim=True)
        return negative / self.temperature
