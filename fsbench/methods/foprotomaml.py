"""fo-Proto-MAML."""

from __future__ import annotations

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import prototypes
from fsbench.methods.gradient import GradientMethod
from fsbench.tasks import Tasks

__all__ = ["FirstOrderProtoMAML"]


class FirstOrderProtoMAML(GradientMethod):
    """First-order Proto-MAML: Triantafillou et al., ICLR 2020, section 3 and appendix.

    fo-MAML whose head starts as the linear form of ProtoNet, W_k = 2 c_k / T and b_k = -|c_k|^2 / T for
    the prototype c_k of class k and the temperature T. The prototypes are not detached: the outer gradient
    reaches the initial weights through them too, while every inner gradient is constant.

    At 1 shot every support image is its own prototype. With unscaled distances of hundreds (a temperature
    of 1) its loss is then zero, so that the inner steps change nothing and the answers are ProtoNet's under
    the support set's statistics; this is so in Meta-Dataset's code too.

    Deviations: the paper has no temperature, which is a temperature of 1. Its rates, steps and decay of the rate
    were found for a pretrained ResNet-18 with 512 pooled features; with the 1600 features of a Conv4 at 84 pixels
    they are so large that the support loss rises.

    Args:
        temperature: Divides the squared distances that the initial head stands for.
    """

    label = "fo-Proto-MAML"

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        inner_rate: NonNegativeFloat,
        train_steps: NonNegativeInt,
        test_steps: NonNegativeInt,
        temperature: PositiveFloat,
    ) -> None:
        super().__init__(make_backbone, classes, inner_rate=inner_rate, train_steps=train_steps, test_steps=test_steps)
        self.temperature = temperature

    def initial_head(self, tasks: Tasks, backbone: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The head that classifies as ProtoNet does."""
        features = self.features(backbone, tasks.support, tasks.support.shape[1])
        centres = prototypes(features, tasks.support_labels, tasks.way)
        return 2 / self.temperature * centres, -centres.square().sum(-1) / self.temperature
