"""Training steps of gradient methods: ours, and the same with `higher` or learn2learn, a task at a time."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from fsbench.engine.schedule import Schedule
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.episodes.sampler import Rules
from fsbench.methods.gradient import GradientMethod
from fsbench.tasks import Tasks
from helpers.plain import PlainConv4, PlainNetwork, plain_inner_loop
from made import Shape, method

__all__ = [
    "INNER_STEPS",
    "SCHEDULE",
    "MakeStep",
    "Outcome",
    "gradient_method",
    "higher_step",
    "learn2learn_step",
    "our_step",
    "peak_of_step",
    "random_tasks",
]

INNER_STEPS: Final = 5
SCHEDULE: Final = Schedule(
    protocol=None,
    size=4,
    seed=0,
    steps=1000,
    rate=1e-3,
    halve_every=None,
    weight_decay=0.0,
    clip=None,
    validate_every=1000,
    patience=None,
    augment=False,
    rules=Rules(),
)
Outcome: TypeAlias = tuple[Tensor, dict[str, Tensor]]  # loss, and the gradient of every weight of the backbone by name
Step: TypeAlias = Callable[[], Outcome]
MakeStep: TypeAlias = Callable[[GradientMethod, Tasks], Step]


def gradient_method(name: str, shape: Shape) -> GradientMethod:
    """A gradient method that takes `INNER_STEPS` steps."""
    built = method(name, shape)
    assert isinstance(built, GradientMethod)
    built.train_steps = INNER_STEPS
    return built


def our_step(method: GradientMethod, tasks: Tasks) -> Step:
    """Fsbench's step."""
    device = tasks.support.device
    step, numbers = Stepper(method, SCHEDULE, cuda_recorder(method, SCHEDULE, device)), itertools.count()

    def take() -> Outcome:
        return step(tasks, next(numbers)), _gradients(method.backbone)

    return take


def higher_step(method: GradientMethod, tasks: Tasks) -> Step:
    """`higher`, on a copy of the weights."""
    backbone = PlainConv4(method.backbone)

    def backward(task: Tasks) -> Tensor:
        loss, _, found = plain_inner_loop(method, backbone, task, INNER_STEPS)
        for weight, gradient in zip(backbone.parameters(), found, strict=True):
            share = gradient / len(tasks)
            weight.grad = share if weight.grad is None else weight.grad + share
        return loss / len(tasks)

    return _step_by_task(backbone, backward, tasks)


def learn2learn_step(method: GradientMethod, tasks: Tasks) -> Step:
    """learn2learn's first-order MAML from a head at zero, on a copy of the weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports are old
        import learn2learn

    backbone = PlainConv4(method.backbone)
    head = tasks.support.new_zeros(tasks.way, method.backbone.features)
    network = PlainNetwork(backbone, head, head.new_zeros(tasks.way))
    maml = learn2learn.algorithms.MAML(network, lr=method.inner_rate, first_order=True)

    def backward(task: Tasks) -> Tensor:
        support, query, learner = task.support[0], task.query[0], maml.clone()
        for _ in range(INNER_STEPS):
            learner.adapt(F.cross_entropy(learner(support, len(support)), task.support_labels[0]))
        logits = learner(torch.cat([support, query]), len(support))[len(support) :]
        loss = F.cross_entropy(logits, task.query_labels[0]) / len(tasks)
        loss.backward()
        return loss.detach()

    return _step_by_task(backbone, backward, tasks)


def _gradients(backbone: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in backbone.named_parameters() if weight.grad is not None}


def _step_by_task(backbone: PlainConv4, backward: Callable[[Tasks], Tensor], tasks: Tasks) -> Step:
    """A step of Adam, after `backward` on every task has added to the gradients and returned its part of the loss."""
    backbone.train()
    optimiser = torch.optim.Adam(backbone.parameters(), lr=SCHEDULE.rate)

    def take() -> Outcome:
        optimiser.zero_grad()
        loss = torch.stack([backward(tasks[index : index + 1]) for index in range(len(tasks))]).sum()
        optimiser.step()
        return loss, {_ours(name): gradient for name, gradient in _gradients(backbone).items()}

    return take


def _ours(name: str) -> str:
    """The name in our backbone of a weight of the plain one: "convs.0.bias" is "blocks.0.conv.bias"."""
    layers, block, kind = name.split(".")
    return f"blocks.{block}.{layers[:-1]}.{kind}"


def random_tasks(
    shape: Shape, number: int, *, way: int = 5, shot: int = 1, queries: int = 15, seed: int = 0, device: str = "cpu"
) -> Tasks:
    """Tasks whose images are noise; `queries` are of every class."""
    generator = torch.Generator().manual_seed(seed)

    def images(each: int) -> Tensor:
        return torch.randn(number, way * each, shape.channels, shape.size, shape.size, generator=generator).to(device)

    def labels(each: int) -> Tensor:
        return torch.arange(way, device=device).repeat_interleave(each).repeat(number, 1)

    return Tasks(images(shot), labels(shot), images(queries), labels(queries), way)


def peak_of_step(make_step: MakeStep, name: str, shape: Shape) -> float:
    """The memory that the first step of this process takes beyond the model and the images of one task, in MiB."""
    step = make_step(gradient_method(name, shape), random_tasks(shape, 1))
    before = _memory("VmRSS")
    step()
    return _memory("VmHWM") - before


def _memory(kind: str) -> float:
    """A figure of this process in MiB; `ru_maxrss` would begin with the peak of the process that started this one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024
