"""Methods that adapt their weights to the support set by gradient steps, of first or second order."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.func import functional_call

from fsbench.backbones.base import MakeBackbone
from fsbench.backbones.norm import differentiated_twice
from fsbench.methods.base import Method
from fsbench.tasks import Tasks

__all__ = ["GradientMethod", "Weights"]

_LOG = logging.getLogger("fsbench")
_AT_ONCE: Final = 512  # queries of a task: each takes megabytes, and with all classes there are thousands


@dataclass(frozen=True)
class Weights:
    """The weights of B networks, one a task, side by side.

    Attributes:
        backbone: By name, those of the B networks stacked along their first dimension.
        head: `[B, way, D]`.
        bias: Of the head, `[B, way]`.
    """

    backbone: dict[str, Tensor]
    head: Tensor
    bias: Tensor

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [*self.backbone.values(), self.head, self.bias]

    def like(self, tensors: list[Tensor]) -> Weights:
        """Weights of the same names from such a list."""
        *backbone, head, bias = tensors
        return Weights(dict(zip(self.backbone, backbone, strict=True)), head, bias)


class GradientMethod(Method):
    """A backbone and a linear head whose weights take gradient steps on each task's support set.

    The loss of an inner step is the mean cross-entropy of the support set, so a learning rate means the
    same for every way and shot. Weights, biases and the scale and shift of batch normalisation adapt.
    The support set is normalised by its own statistics. So are the queries of an inductive method: by the
    support set's statistics under the adapted weights, with gradients through them (Meta-Dataset's
    default); a transductive one normalises the queries by the statistics of the queries.

    Of first order, the adapted weights are the initial ones plus a change that is constant to the outer
    gradient (Finn et al., ICML 2017, section 5.2). Of second order, the outer gradient goes through the inner
    steps and their gradients too, and training keeps the activations of all steps. Predictions are the same. The
    tasks of a batch go through grouped convolutions side by side, each with weights of its own.

    Attributes:
        order: 1 or 2, of the outer gradient.
        zero_head: Whether the head starts at zero, so that the first inner step leaves the backbone as it is.

    Args:
        inner_rate: Learning rate of the inner steps.
        train_steps: Inner steps in training; without any, a head that starts at zero would pass on no gradient.
        test_steps: Inner steps in validation and test.
    """

    order: ClassVar[Literal[1, 2]] = 1
    zero_head: ClassVar[bool] = False
    separable = True
    replayable = True

    def __init__(
        self,
        make_backbone: MakeBackbone,
        classes: int,
        *,
        inner_rate: NonNegativeFloat,
        train_steps: PositiveInt,
        test_steps: NonNegativeInt,
    ) -> None:
        super().__init__()
        self.backbone = make_backbone()
        self.inner_rate, self.train_steps, self.test_steps = inner_rate, train_steps, test_steps

    warned = False  # of inner steps that raise the loss

    @abstractmethod
    def initial_head(self, tasks: Tasks, backbone: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weights `[B, way, D]` and bias `[B, way]` before the first step, under the initial `backbone` weights."""

    def loss(self, tasks: Tasks) -> Tensor:
        """Mean cross-entropy of the queries under the adapted weights."""
        logits = self.query_logits(self.adapt(tasks, self.train_steps), tasks)
        return F.cross_entropy(logits.flatten(0, 1), tasks.query_labels.flatten())

    @torch.no_grad()
    def predict(self, tasks: Tasks) -> Tensor:
        """Logits `[B, Q, way]` under the adapted weights; of many queries, part by part."""
        adapted = self.adapt(tasks, self.test_steps)
        if self.transductive:
            return self.query_logits(adapted, tasks)
        parts = zip(torch.split(tasks.query, _AT_ONCE, 1), torch.split(tasks.query_labels, _AT_ONCE, 1), strict=True)
        answers = [
            self.query_logits(adapted, replace(tasks, query=query, query_labels=labels)) for query, labels in parts
        ]
        return torch.cat(answers, dim=1)

    def adapt(self, tasks: Tasks, steps: int) -> Weights:
        """The weights after `steps` inner steps on every support set, in the initial ones of the class's `order`."""
        backbone = self.side_by_side(tasks)
        initial = Weights(backbone, *self.initial_head(tasks, backbone))
        if self.order == 2 and torch.is_grad_enabled():
            # copies, so that the first step's gradient in them leaves out the way through a head that depends on them
            adapted = initial.like([weight.clone().requires_grad_() for weight in initial.tensors()])
            with differentiated_twice(self.backbone):
                for step in range(steps):
                    adapted = self._stepped(adapted, tasks, differentiable=True, head_only=self.zero_head and step == 0)
            return adapted
        adapted = initial.like([weight.detach().requires_grad_() for weight in initial.tensors()])
        for step in range(steps):
            with torch.enable_grad():
                stepped = self._stepped(adapted, tasks, differentiable=False, head_only=self.zero_head and step == 0)
            adapted = initial.like([weight.detach().requires_grad_() for weight in stepped.tensors()])
        return initial.like(
            [weight + (new - weight).detach() for weight, new in zip(initial.tensors(), adapted.tensors(), strict=True)]
        )

    def side_by_side(self, tasks: Tasks) -> dict[str, Tensor]:
        """The weights of the backbone by name, once for every task, stacked along their first dimension."""
        return {name: torch.cat([weight] * len(tasks)) for name, weight in self.backbone.named_parameters()}

    def _stepped(self, weights: Weights, tasks: Tasks, *, differentiable: bool, head_only: bool = False) -> Weights:
        """The weights after one inner step, whose gradient may be differentiated again; or only the head's."""
        logits = self._logits(weights, tasks.support, tasks.support.shape[1])
        # the mean of every task, added up: no task has a part in another's gradient
        loss = len(tasks) * F.cross_entropy(logits.flatten(0, 1), tasks.support_labels.flatten())
        *still, head, bias = weights.tensors()
        still, moving = (still, [head, bias]) if head_only else ([], weights.tensors())
        gradients = torch.autograd.grad(loss, moving, create_graph=differentiable)
        stepped = [weight - self.inner_rate * gradient for weight, gradient in zip(moving, gradients, strict=True)]
        # as copies, as before the first step
        return weights.like([*(weight.clone() for weight in still), *stepped])

    @torch.no_grad()
    def check_steps(self, tasks: Tasks) -> None:
        """Warn, once a model, if the inner steps of test end with a larger support loss than they begin with."""
        first, last = (self._support_loss(tasks, steps) for steps in (0, self.test_steps))
        if not (last <= first or self.warned):
            self.warned = True
            _LOG.warning(
                "%s, %d support images of %d classes: %d inner steps raise the support loss from %.3g to %.3g; "
                "lower inner_rate or test_steps.",
                self.label,
                tasks.support.shape[1],
                tasks.way,
                self.test_steps,
                first,
                last,
            )

    def _support_loss(self, tasks: Tasks, steps: int) -> float:
        """The mean of the tasks, one after the other: more of them may not fit into a device's memory."""
        losses = []
        for task in (tasks[which : which + 1] for which in range(len(tasks))):
            logits = self._logits(self.adapt(task, steps), task.support, task.support.shape[1])
            losses.append(float(F.cross_entropy(logits[0], task.support_labels[0])))
        return sum(losses) / len(losses)

    def features(self, backbone: dict[str, Tensor], images: Tensor, leading: int) -> Tensor:
        """Features `[B, N, D]` of images `[B, N, C, H, W]`, normalised by the first `leading` images of each task."""
        side_by_side = images.transpose(0, 1).flatten(1, 2)
        features: Tensor = functional_call(self.backbone, backbone, (side_by_side, leading))
        return features.view(len(side_by_side), len(images), -1).transpose(0, 1)

    def query_logits(self, weights: Weights, tasks: Tasks) -> Tensor:
        """Logits `[B, Q, way]` under given weights."""
        shots = tasks.support.shape[1]
        if self.transductive:
            return self._logits(weights, tasks.query, tasks.query.shape[1])
        return self._logits(weights, torch.cat([tasks.support, tasks.query], dim=1), shots)[:, shots:]

    def _logits(self, weights: Weights, images: Tensor, leading: int) -> Tensor:
        """Logits `[B, N, way]` of images `[B, N, C, H, W]`."""
        features = self.features(weights.backbone, images, leading)
        return torch.baddbmm(weights.bias.unsqueeze(1), features, weights.head.mT)
