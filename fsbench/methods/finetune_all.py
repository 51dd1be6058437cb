"""Finetune, of all layers."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor
from torch.func import functional_call

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import ClassifierTraining
from fsbench.tasks import Tasks

__all__ = ["FinetuneAll"]

_AT_ONCE: Final = 32  # images of a task: their activations are kept for the gradient


class FinetuneAll(ClassifierTraining):
    """A new linear classifier and all weights of the pretrained backbone, trained on the support set.

    "Ft-All" of Guo et al., "A broader study of cross-domain few-shot learning", ECCV 2020, with
    cross-entropy and `torch.optim.SGD`. Every task begins with the weights that were trained before. Without steps on
    the backbone it is `fsbench.methods.finetune.Finetune`.

    Deviations: the backbone stays in evaluation mode, normalised by its running statistics, so that a network of any
    library will do and no image has a part in the features of another; every step sees the whole support set instead
    of four images of it; the head starts at zero instead of random weights, so that neither order nor names of the
    classes matter, and the first step leaves the backbone as it is; momentum and weight decay are those of the head
    in the backbone too, where their backbone has none.

    Args:
        steps: Gradient steps.
        rate: Learning rate of the head.
        backbone_rate: Learning rate of the backbone.
        momentum: Of SGD.
        dampening: Of the momentum.
        weight_decay: On all weights and biases.
    """

    label = "Finetune (all layers)"
    any_backbone = True

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        steps: NonNegativeInt,
        rate: NonNegativeFloat,
        backbone_rate: NonNegativeFloat,
        momentum: NonNegativeFloat,
        dampening: NonNegativeFloat,
        weight_decay: NonNegativeFloat,
    ) -> None:
        super().__init__(make_backbone, classes)
        self.steps, self.backbone_rate = steps, backbone_rate
        self.settings: dict[str, Any] = {
            "lr": rate,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
        }

    def predict(self, tasks: Tasks) -> Tensor:
        """Logits `[B, Q, way]`, task by task; the model's own weights stay as they are."""
        return torch.stack([self._answers(tasks[task : task + 1]) for task in range(len(tasks))])

    def _answers(self, task: Tasks) -> Tensor:
        """Logits `[Q, way]` of a single task, by weights trained on its support set."""
        (support,), (labels,), (query,) = task.support, task.support_labels, task.query
        weights = {name: weight.detach().clone() for name, weight in self.backbone.named_parameters()}
        head = [support.new_zeros(task.way, self.backbone.features), support.new_zeros(task.way)]

        def logits(images: Tensor) -> Tensor:
            return F.linear(functional_call(self.backbone, weights, (images,)), *head)

        for weight in (*weights.values(), *head):
            weight.requires_grad_()
        groups: list[dict[str, Any]] = [{"params": weights.values(), "lr": self.backbone_rate}, {"params": head}]
        optimiser = torch.optim.SGD(groups, **self.settings)
        with torch.enable_grad():
            for _ in range(self.steps):
                optimiser.zero_grad()
                for images, truth in zip(support.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
                    loss = F.cross_entropy(logits(images), truth, reduction="sum") / len(support)
                    loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.no_grad():
            return torch.cat([logits(images) for images in query.split(_AT_ONCE)])
