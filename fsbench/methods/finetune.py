"""Finetune."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
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

    Deviations: every step sees the whole support set instead of four images of it, so that as many epochs are
    fewer updates (100 epochs: 100 instead of 200 at 5-way 1-shot, instead of 700 at 5 shots), and the head starts
    at zero instead of random weights, so that neither order nor names of the classes matter (the objective
    is convex, so the start only decides how far the steps get).

    Args:
        steps: Gradient steps on the head.
        rate: Learning rate.
        momentum: Of SGD.
        dampening: Of the momentum.
        weight_decay: On weights and biases.
    """

    label = "Finetune"
    fits_head = True

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        steps: NonNegativeInt,
        rate: NonNegativeFloat,
        momentum: NonNegativeFloat,
        dampening: NonNegativeFloat,
        weight_decay: NonNegativeFloat,
    ) -> None:
        super().__init__(make_backbone, classes)
        self.steps, self.rate = steps, rate
        self.momentum, self.dampening, self.weight_decay = momentum, dampening, weight_decay

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]` of the trained heads."""
        targets = one_hot(labels, way, support).mT
        dual = support.shape[-1] >= support.shape[-2]
        inputs = support @ support.mT + 1 if dual else _with_bias(support)  # products of features that end in a one
        head = inputs.new_zeros(len(inputs), way, inputs.shape[-1])
        velocity = torch.zeros_like(head)
        for step in range(self.steps):
            errors = ((head @ inputs.mT).softmax(1) - targets) / support.shape[1]
            gradient = (errors if dual else errors @ inputs) + self.weight_decay * head
            velocity = gradient if step == 0 else self.momentum * velocity + (1 - self.dampening) * gradient
            head = head - self.rate * velocity
        if dual:
            return query @ support.mT @ head.mT + head.sum(-1).unsqueeze(1)
        return _with_bias(query) @ head.mT


def _with_bias(features: Tensor) -> Tensor:
    """Features `[B, N, D]` with a last feature that is always one."""
    return torch.cat([features, features.new_ones(*features.shape[:-1], 1)], dim=-1)
