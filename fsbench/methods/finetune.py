"""Finetune."""

from __future__ import annotations

import torch
from torch import Tensor

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import ClassifierMethod, one_hot

__all__ = ["Finetune"]


class Finetune(ClassifierMethod):
    """The "Baseline" of Chen et al., ICLR 2019: a new linear classifier on the frozen, pretrained backbone.

    It is trained on the support features with cross-entropy and SGD. The heads of all tasks are trained
    side by side with the gradient in closed form, exactly as `torch.optim.SGD` would train each alone. A head
    that starts at zero stays a combination of the support features, so that where these are fewer than
    their dimensions its coefficients are trained instead (the dual form), on products of features alone.

    Deviations: every step sees the whole support set instead of four images of it, and the head starts at
    zero instead of random weights, so that neither order nor names of the classes matter (the objective
    is convex, so the start only decides how far the steps get).

    Args:
        steps: Gradient steps on the head.
        rate: Learning rate.
        momentum: Of SGD.
        dampening: Of the momentum.
        weight_decay: On weights and biases.
    """

    label = "Finetune"

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        steps: int,
        rate: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
    ) -> None:
        super().__init__(make_backbone, classes)
        self.steps, self.rate = steps, rate
        self.momentum, self.dampening, self.weight_decay = momentum, dampening, weight_decay

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]` of the trained heads."""
        inputs, queries, targets = _with_bias(support), _with_bias(query), one_hot(labels, way, support)
        dual = inputs.shape[-1] > inputs.shape[-2]
        if dual:
            inputs, queries = inputs @ inputs.mT, queries @ inputs.mT
        head = inputs.new_zeros(len(inputs), inputs.shape[-1], way)
        velocity = torch.zeros_like(head)
        for step in range(self.steps):
            errors = ((inputs @ head).softmax(-1) - targets) / inputs.shape[1]
            gradient = (errors if dual else inputs.mT @ errors) + self.weight_decay * head
            velocity = gradient if step == 0 else self.momentum * velocity + (1 - self.dampening) * gradient
            head = head - self.rate * velocity
        return queries @ head


def _with_bias(features: Tensor) -> Tensor:
    """Features `[B, N, D]` with a last feature that is always one."""
    return torch.cat([features, features.new_ones(*features.shape[:-1], 1)], dim=-1)
