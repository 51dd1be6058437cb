"""A method under examination: how it is built, trained a little, and asked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from fsbench.backbones.base import Backbone
from fsbench.backbones.conv4 import Conv4
from fsbench.conformance.problem import CHANNELS, CLASSES, SIZE, draw_batch, draw_tasks
from fsbench.methods.base import Method
from fsbench.tasks import Batch, Tasks

__all__ = ["TENSORS", "Subject", "changed", "random_state", "task_by_task"]

TENSORS: Final = ("support", "support_labels", "query", "query_labels")  # of tasks
_WIDTH: Final = 8
_WARM_STEPS: Final = 3  # enough for weights that start at zero, and for running statistics, to move
_TASKS_A_STEP: Final = 2


class Subject:
    """A method under examination, and what its checks share.

    Every answer comes from a model of its own, built again and given the same weights as `fsbench run` does, on
    copies of the tasks and from the same random state; so a fault shows in the check that looks for it.

    Args:
        method_class: The method.
        params: Its hyper-parameters.
    """

    def __init__(self, method_class: type[Method], params: Mapping[str, Any]) -> None:
        self.method_class, self.params = method_class, params
        self.backbones: list[Backbone] = []  # those that were asked for in the last `build`

    def build(self, *, constant: bool = False) -> Method:
        """The method with seeded weights, in float64; with `constant`, on a backbone whose features are all zero."""
        self.backbones = []

        def make_backbone(*, maps: bool = False) -> Backbone:
            made = (_Constant if constant else Conv4)(channels=CHANNELS, size=SIZE, width=_WIDTH, maps=maps)
            self.backbones.append(made)
            return made

        with random_state(0):
            return self.method_class(make_backbone, CLASSES, **self.params).double()

    @functools.cached_property
    def trained(self) -> Method:
        """The method after a few steps of training, as the object that took them."""
        method = self.build().float()
        with random_state(0):
            for _ in self.training(method, _WARM_STEPS, rate=1e-2):
                pass
        return method.double().eval()

    @functools.cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights of `trained`."""
        return {name: value.clone() for name, value in self.trained.state_dict().items()}

    def model(self) -> Method:
        """The method with the weights of `trained` and no other past, in evaluation mode."""
        method = self.build()
        method.load_state_dict(self.weights)
        return method.eval()

    def answer(self, tasks: Tasks, model: Method | None = None) -> Tensor:
        """Logits `[B, Q, way]` of a new `model()`, or of the one given, which is put into evaluation mode."""
        method = self.model() if model is None else model.eval()
        with random_state(0), torch.no_grad():
            return method.predict(changed(tasks, Tensor.clone))

    def lesson(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tasks | Batch:
        """What the loss takes, drawn from the easy problem."""
        if self.method_class.learns_from == "batches":
            return draw_batch(seed=seed, dtype=dtype)
        return draw_tasks(tasks=_TASKS_A_STEP, seed=seed, dtype=dtype)

    def training(self, method: Method, steps: int, rate: float) -> Iterator[float]:
        """Take a float32 method through steps of Adam on the easy problem; yields the loss of each."""
        optimiser = torch.optim.Adam(method.parameters(), lr=rate)
        for step in range(steps):
            method.train()
            optimiser.zero_grad()
            loss = method.loss(self.lesson(seed=step, dtype=torch.float32))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            yield loss.item()


class _Constant(Conv4):
    """A backbone that sees nothing: its features are zero whatever the images, also after it was adapted."""

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images`, all zero."""
        return super().forward(images, leading) * 0


def changed(tasks: Tasks, change: Callable[[Tensor], Tensor]) -> Tasks:
    """The tasks with every tensor changed by a function."""
    return Tasks(**{name: change(getattr(tasks, name)) for name in TENSORS}, way=tasks.way)


def task_by_task(tasks: Tasks) -> list[Tasks]:
    """Every task as a batch of its own."""
    return [tasks[index : index + 1] for index in range(len(tasks))]


@contextmanager
def random_state(seed: int) -> Iterator[None]:
    """Seed torch's generator, and leave it afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
