"""Our inner loop beside that of `higher`, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import higher
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.methods.base import prototypes
from fsbench.methods.gradient import GradientMethod
from fsbench.tasks import Tasks
from small import build, random_tasks

STEPS, RATE = 3, 0.05
close = {"rtol": 1e-9, "atol": 1e-11}


class Network(nn.Module):
    """Backbone and linear head as one module, normalised by the batch it is given, for `higher` to adapt."""

    def __init__(self, method: GradientMethod, head: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.backbone = method.backbone
        self.head, self.bias = nn.Parameter(head.detach().clone()), nn.Parameter(bias.detach().clone())

    def forward(self, images: Tensor, leading: int) -> Tensor:
        return F.linear(self.backbone(images, leading), self.head, self.bias)


@pytest.fixture(params=["fomaml", "fomaml-transductive", "foprotomaml"])
def method(request: pytest.FixtureRequest) -> Iterator[GradientMethod]:
    yield build(request.param, inner_rate=RATE, train_steps=STEPS).double()


@pytest.fixture
def task() -> Tasks:
    return random_tasks(batch=1)


def adapted_by_higher(method: GradientMethod, task: Tasks) -> tuple[nn.Module, list[Tensor]]:
    """The functional network after the inner steps, and its weights."""
    support, labels = task.support[0], task.support_labels[0]
    network = Network(method, *method.initial_head(support, labels, task.way))
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE)
    with higher.innerloop_ctx(network, optimiser, track_higher_grads=False) as (functional, inner):
        for _ in range(STEPS):
            inner.step(F.cross_entropy(functional(support, len(support)), labels))
        return functional, list(functional.parameters())


def query_loss(method: GradientMethod, network: nn.Module, task: Tasks) -> Tensor:
    support, query = task.support[0], task.query[0]
    if method.transductive:
        logits = network(query, len(query))
    else:
        logits = network(torch.cat([support, query]), len(support))[len(support) :]
    return F.cross_entropy(logits, task.query_labels[0])


def test_the_adapted_weights_are_those_of_higher(method: GradientMethod, task: Tasks) -> None:
    backbone, head, bias = method.adapt(task.support[0], task.support_labels[0], task.way, STEPS)
    ours = [head, bias, *backbone.values()]
    _, theirs = adapted_by_higher(method, task)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, **close)
    assert (backbone["blocks.0.conv.weight"] != method.backbone.blocks[0].conv.weight).any()


def test_the_meta_gradient_is_that_of_higher(method: GradientMethod, task: Tasks) -> None:
    loss = method.loss(task)
    loss.backward()
    functional, weights = adapted_by_higher(method, task)
    reference = query_loss(method, functional, task)
    torch.testing.assert_close(loss, reference, **close)
    of_head, of_bias, *of_backbone = torch.autograd.grad(reference, weights)
    head, bias = method.initial_head(task.support[0], task.support_labels[0], task.way)
    if head.requires_grad:  # what the initial head owes to the initial weights is not constant
        through_head = torch.autograd.grad([head, bias], list(method.backbone.parameters()), [of_head, of_bias])
        assert any(gradient.abs().max() > 1e-3 for gradient in through_head)
        of_backbone = [direct + path for direct, path in zip(of_backbone, through_head, strict=True)]
    for parameter, gradient in zip(method.backbone.parameters(), of_backbone, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **close)


def test_the_statistics_of_the_model_stay(method: GradientMethod, task: Tasks) -> None:
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    method.train()
    method.loss(task).backward()
    method.predict(task)
    assert all(torch.equal(buffer, before[name]) for name, buffer in method.named_buffers())


def test_proto_maml_without_steps_is_protonet_with_the_statistics_of_the_support_set() -> None:
    method, task = build("foprotomaml", test_steps=0).double(), random_tasks(batch=1)
    shots = task.support.shape[1]
    features = method.backbone(torch.cat([task.support[0], task.query[0]]), shots).unsqueeze(0)
    centres = prototypes(features[:, :shots], task.support_labels, task.way)
    distances = torch.cdist(features[:, shots:], centres).square()
    difference = method.predict(task) + distances  # equal up to a constant of every query
    torch.testing.assert_close(difference, difference[..., :1].expand_as(difference))


def test_maml_without_steps_knows_nothing() -> None:
    assert not build("fomaml", test_steps=0).double().predict(random_tasks()).any()
