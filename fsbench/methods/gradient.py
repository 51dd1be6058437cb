"""Methods that adapt their weights to the support set by gradient steps, first order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import Method
from fsbench.tasks import Tasks

__all__ = ["GradientMethod", "Weights"]

Weights = tuple[dict[str, Tensor], Tensor, Tensor]  # of the backbone by name, of the head [way, D], its bias [way]


class GradientMethod(Method):
    """A backbone and a linear head whose weights take gradient steps on each task's support set.

    The loss of an inner step is the mean cross-entropy of the support set, so a learning rate means the
    same for every way and shot. Weights, biases and the scale and shift of batch normalisation adapt.
    The support set is normalised by its own statistics. So are the queries of an inductive method: by the
    support set's statistics under the adapted weights, with gradients through them (Meta-Dataset's
    default); a transductive one normalises the queries by the statistics of the queries.

    First order: the adapted weights are the initial ones plus a change that is constant to the outer
    gradient (Finn et al., ICML 2017, section 5.2).

    Args:
        inner_rate: Learning rate of the inner steps.
        train_steps: Inner steps in training.
        test_steps: Inner steps in validation and test.
    """

    def __init__(
        self, make_backbone: MakeBackbone, classes: int, *, inner_rate: float, train_steps: int, test_steps: int
    ) -> None:
        super().__init__()
        self.backbone = make_backbone()
        self.inner_rate, self.train_steps, self.test_steps = inner_rate, train_steps, test_steps

    @abstractmethod
    def initial_head(self, support: Tensor, labels: Tensor, way: int) -> tuple[Tensor, Tensor]:
        """Weights `[way, D]` and bias `[way]` before the first step, from support images `[S, C, H, W]`."""

    def loss(self, tasks: Tasks) -> Tensor:
        """Mean cross-entropy of the queries under the adapted weights."""
        losses = [
            F.cross_entropy(self._task_logits(tasks, index, self.train_steps), tasks.query_labels[index])
            for index in range(len(tasks))
        ]
        return torch.stack(losses).mean()

    def predict(self, tasks: Tasks) -> Tensor:
        """Logits `[B, Q, way]` under the adapted weights."""
        logits = [self._task_logits(tasks, index, self.test_steps).detach() for index in range(len(tasks))]
        return torch.stack(logits)

    def adapt(self, support: Tensor, labels: Tensor, way: int, steps: int) -> Weights:
        """The weights after `steps` inner steps on `support` `[S, C, H, W]`, first-order in the initial ones."""
        start = dict(self.backbone.named_parameters())
        head, bias = self.initial_head(support, labels, way)
        initial = [*start.values(), head, bias]
        adapted = [weight.detach().requires_grad_() for weight in initial]
        for _ in range(steps):
            with torch.enable_grad():
                logits = self._logits(_named(start, adapted), support, len(support))
                gradients = torch.autograd.grad(F.cross_entropy(logits, labels), adapted)
            adapted = [
                (weight.detach() - self.inner_rate * gradient).requires_grad_()
                for weight, gradient in zip(adapted, gradients, strict=True)
            ]
        final = [weight + (new - weight).detach() for weight, new in zip(initial, adapted, strict=True)]
        return _named(start, final)

    def _task_logits(self, tasks: Tasks, index: int, steps: int) -> Tensor:
        """Query logits `[Q, way]` of one task."""
        support, query = tasks.support[index], tasks.query[index]
        weights = self.adapt(support, tasks.support_labels[index], tasks.way, steps)
        if self.transductive:
            return self._logits(weights, query, len(query))
        return self._logits(weights, torch.cat([support, query]), len(support))[len(support) :]

    def _logits(self, weights: Weights, images: Tensor, leading: int) -> Tensor:
        """Logits `[N, way]` of images `[N, C, H, W]`, normalised by the statistics of the first `leading` ones."""
        backbone, head, bias = weights
        features = functional_call(self.backbone, backbone, (images, leading))
        return F.linear(features, head, bias)


def _named(names: Iterable[str], weights: Sequence[Tensor]) -> Weights:
    """Weights from the list of the backbone's, the head's and its bias."""
    *backbone, head, bias = weights
    return dict(zip(names, backbone, strict=True)), head, bias
