"""Our inner loop, tasks side by side, beside `higher`'s, task by task, and beside finite differences; in float64."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fsbench.methods.base import Method, prototypes
from fsbench.methods.gradient import GradientMethod
from fsbench.methods.maml import ANIL
from fsbench.tasks import Tasks
from helpers.plain import PlainConv4, plain_inner_loop
from helpers.small import build, random_tasks

pytestmark = pytest.mark.slow

close = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(params=["fomaml", "fomaml-transductive", "foprotomaml", "maml", "maml-transductive", "anil"])
def method(request: pytest.FixtureRequest) -> Method:
    return build(request.param, inner_rate=0.05, train_steps=3).double()


@pytest.fixture(params=[1, 3], ids=["one task", "three tasks"])
def tasks(request: pytest.FixtureRequest) -> Tasks:
    return random_tasks(batch=request.param)


def by_name(backbone: PlainConv4, tensors: list[Tensor]) -> dict[str, Tensor]:
    """Tensors in the order of the plain backbone's parameters, by the names of ours."""
    names = [name.split(".") for name, _ in backbone.named_parameters()]
    return {
        f"blocks.{block}.{layer[:-1]}.{kind}": tensor
        for (layer, block, kind), tensor in zip(names, tensors, strict=True)
    }


def test_the_adapted_weights_are_those_of_higher(method: GradientMethod, tasks: Tasks) -> None:
    ours, plain = method.adapt(tasks, method.train_steps), PlainConv4(method.backbone)
    for index in range(len(tasks)):
        _, (head, bias, *backbone), _ = plain_inner_loop(method, plain, tasks[index : index + 1], method.train_steps)
        torch.testing.assert_close(ours.head[index], head, **close)
        torch.testing.assert_close(ours.bias[index], bias, **close)
        for name, expected in by_name(plain, backbone).items():
            torch.testing.assert_close(ours.backbone[name].chunk(len(tasks))[index], expected, **close)
            if not (
                name.endswith("conv.bias") or isinstance(method, ANIL)
            ):  # batch normalisation takes a bias away again
                assert (expected != method.backbone.get_parameter(name)).any()


def test_the_meta_gradient_is_that_of_higher(method: GradientMethod, tasks: Tasks) -> None:
    loss, plain = method.loss(tasks), PlainConv4(method.backbone)
    loss.backward()
    each = [plain_inner_loop(method, plain, tasks[i : i + 1], method.train_steps) for i in range(len(tasks))]
    torch.testing.assert_close(loss, torch.stack([part[0] for part in each]).mean(), **close)
    mean = [torch.stack(of_tasks).mean(0) for of_tasks in zip(*(part[2] for part in each), strict=True)]
    for name, expected in by_name(plain, mean).items():
        torch.testing.assert_close(method.backbone.get_parameter(name).grad, expected, **close)


def test_the_meta_gradient_is_that_of_finite_differences(method: GradientMethod, tasks: Tasks) -> None:
    """First order: of the query loss, with every inner change held at what it is; second order: of the whole loss."""
    method.loss(tasks).backward()
    adapted = method.adapt(tasks, method.train_steps)
    start = dict(method.backbone.named_parameters())
    stacked = {name: torch.cat([weight] * len(tasks)) for name, weight in start.items()}
    initial = [*stacked.values(), *method.initial_head(tasks, stacked)]
    changes = [(new - old).detach() for new, old in zip(adapted.tensors(), initial, strict=True)]

    def query_loss(moved: dict[str, Tensor]) -> Tensor:
        if method.order == 2:
            return loss_with(method, moved, tasks)
        backbone = {name: torch.cat([weight] * len(tasks)) for name, weight in moved.items()}
        tensors = [*backbone.values(), *method.initial_head(tasks, backbone)]
        weights = adapted.like([tensor + change for tensor, change in zip(tensors, changes, strict=True)])
        return F.cross_entropy(method.query_logits(weights, tasks).flatten(0, 1), tasks.query_labels.flatten())

    generator = torch.Generator().manual_seed(0)
    step = 1e-8  # so small that hardly any activation passes the kink of its ReLU on the way
    with torch.no_grad():
        for name, weight in start.items():
            direction = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            ahead, behind = ({**start, name: weight + sign * step * direction} for sign in (1, -1))
            slope = (query_loss(ahead) - query_loss(behind)) / (2 * step)
            torch.testing.assert_close((weight.grad * direction).sum(), slope, rtol=1e-5, atol=1e-6)


def loss_with(method: GradientMethod, weights: dict[str, Tensor], tasks: Tasks) -> Tensor:
    """The loss of a copy of the method with other weights in its backbone."""
    moved = copy.deepcopy(method)
    moved.backbone.load_state_dict(weights, strict=False)
    return moved.loss(tasks)


def test_the_statistics_of_the_model_stay(method: GradientMethod, tasks: Tasks) -> None:
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    method.train()
    method.loss(tasks).backward()
    method.predict(tasks)
    assert all(torch.equal(buffer, before[name]) for name, buffer in method.named_buffers())


def test_proto_maml_without_steps_is_protonet_with_the_statistics_of_the_support_set() -> None:
    method, task = build("foprotomaml", test_steps=0).double(), random_tasks(batch=1)
    shots = task.support.shape[1]
    features = method.backbone(torch.cat([task.support[0], task.query[0]]), shots).unsqueeze(0)
    centres = prototypes(features[:, :shots], task.support_labels, task.way)
    distances = torch.cdist(features[:, shots:], centres).square()
    difference = method.predict(task) + distances / method.temperature  # equal up to a constant of every query
    torch.testing.assert_close(difference, difference[..., :1].expand_as(difference))


def test_maml_without_steps_knows_nothing() -> None:
    assert not build("fomaml", test_steps=0).double().predict(random_tasks()).any()


def test_the_orders_differ_in_the_outer_gradient_alone() -> None:
    first, second = (build(name, inner_rate=0.05, train_steps=3, test_steps=3) for name in ("fomaml", "maml"))
    tasks = random_tasks()
    losses = [method.double().loss(tasks) for method in (first, second)]
    torch.testing.assert_close(*losses, **close)
    assert torch.equal(first.predict(tasks), second.predict(tasks))
    for loss in losses:
        loss.backward()
    gradients = [method.backbone.blocks[0].conv.weight.grad for method in (first, second)]
    assert not torch.allclose(*gradients, rtol=1e-2)


def test_training_and_prediction_adapt_alike_where_the_head_depends_on_the_backbone() -> None:
    method, tasks = build("foprotomaml", inner_rate=0.05).double(), random_tasks()
    method.order = 2
    adapted = method.adapt(tasks, 3).tensors()
    with torch.no_grad():
        predicting = method.adapt(tasks, 3).tensors()
    for one, other in zip(adapted, predicting, strict=True):
        torch.testing.assert_close(one, other, **close)


def test_a_look_at_the_steps_takes_no_more_memory_than_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = build("fomaml").double(), []
    adapt = method.adapt
    monkeypatch.setattr(method, "adapt", lambda tasks, steps: (seen.append(len(tasks)), adapt(tasks, steps))[1])
    method.check_steps(random_tasks(batch=3))
    assert seen == [1] * 6


def test_steps_that_raise_the_support_loss_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    build("fomaml", inner_rate=0.01).double().check_steps(random_tasks())
    assert not caplog.records
    method = build("fomaml", inner_rate=100.0).double()
    for _ in range(2):
        method.check_steps(random_tasks())
    (message,) = caplog.messages
    found = re.fullmatch(
        r"fo-MAML, 10 support images of 5 classes: 5 inner steps raise the support loss from (.+) to (.+); lower "
        r"inner_rate or test_steps\.",
        message,
    )
    assert found is not None
    assert float(found[1]) == pytest.approx(math.log(5), rel=0.01)
    assert float(found[2]) > 10


def test_many_queries_are_answered_in_parts_with_the_same_answers(
    method: GradientMethod, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, number = method.predict(tasks), tasks.query.shape[1]
    asked: list[int] = []
    answer = method.query_logits
    monkeypatch.setattr(
        method, "query_logits", lambda weights, part: asked.append(part.query.shape[1]) or answer(weights, part)
    )
    monkeypatch.setattr("fsbench.methods.gradient._AT_ONCE", 4)
    torch.testing.assert_close(method.predict(tasks), whole, **close)
    parts = [number] if method.transductive else [min(4, number - first) for first in range(0, number, 4)]
    assert asked == parts and (method.transductive or len(parts) > 1)
