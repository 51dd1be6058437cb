"""Milliseconds of a training step on a GPU, by all that might make it faster or slower."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

import torch

from fsbench.engine.precision import backbones_in
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.methods.base import Method
from fsbench.tasks import Tasks
from gpu_setting import SMALL, Result, Setting
from made import MINIIMAGENET, OMNIGLOT, Shape, method
from peers import SCHEDULE, random_tasks

__all__ = ["changing_shapes", "matrix"]

METHODS: Final = ("matching", "proto", "relation", "fomaml", "foprotomaml")
TASKS_A_STEP: Final = 4  # of the methods that adapt to every task; the others have one
WARM_UP: Final = 6  # steps: algorithms are searched, and a recording is made after three


class Work(NamedTuple):
    """The shape of a task."""

    shape: Shape
    way: int
    shot: int
    queries: int  # per class

    def __str__(self) -> str:
        return f"{self.shape.size} pixels, {self.way}-way {self.shot}-shot"


class Kind(NamedTuple):
    """How a step is done; as fsbench does it in fp32, unless something else is said."""

    tf32: bool = True
    channels_last: bool = True
    recorded: bool = True
    bf16: bool = False
    side_by_side: bool = True  # the tasks of a method that adapts to every task


LARGE: Final = (Work(MINIIMAGENET, 5, 5, 15), Work(MINIIMAGENET, 5, 1, 15), Work(OMNIGLOT, 60, 1, 5))
REHEARSED: Final = (Work(SMALL, 5, 1, 1),)
KINDS: Final = {
    "usual": Kind(),
    "eager": Kind(recorded=False),
    "channels first": Kind(channels_last=False),
    "no TF32": Kind(tf32=False),
    "no TF32, channels first": Kind(tf32=False, channels_last=False),
    "bf16": Kind(bf16=True),
    "task by task": Kind(side_by_side=False),
    "bf16, task by task": Kind(bf16=True, side_by_side=False),
}


def matrix(setting: Setting, before: Result) -> Result:
    """Every method at every shape in every way; those that an earlier call has timed are not timed again."""
    result: Result = dict(before) | {"finished": False}
    for work, name, (title, kind) in itertools.product(works(setting), METHODS, KINDS.items()):
        key = f"{name}, {work}, {title}"
        if key in result or not sensible(name, work, kind):
            continue
        if time.monotonic() > setting.deadline:
            return result
        try:
            result[key] = timed(setting, name, work, kind)
        except RuntimeError as error:  # the others need not suffer
            result[key] = {"error": f"{type(error).__name__}: {error}"}
    return result | {"finished": True}


def changing_shapes(setting: Setting, _: Result) -> Result:
    """Eager steps on tasks of changing shapes, as in the variable protocol, with and without search for algorithms."""
    result: Result = {"finished": True, "unit": "ms"}
    for name, search in itertools.product(("proto", "fomaml"), (False, True)):
        model = method(name, setting.shape).to(setting.device)
        step = Stepper(model, replace(SCHEDULE, size=1))
        tasks = [
            random_tasks(setting.shape, 1, way=5 + number, shot=1 + number % 4, queries=10, device=setting.device.type)
            for number in range(setting.size(20, 2))
        ]
        with torch.backends.cudnn.flags(enabled=True, benchmark=search, allow_tf32=True):
            take(step, tasks[:1])
            title = f"{name}, {'searching' if search else 'not searching'}"
            result[title] = 1e3 * setting.seconds(lambda step=step, tasks=tasks: take(step, tasks)) / len(tasks)
    return result


def works(setting: Setting) -> Sequence[Work]:
    return REHEARSED if setting.small else LARGE


def sensible(name: str, work: Work, kind: Kind) -> bool:
    """Whether a method can be done so in reasonable time: only those that adapt to a task can go task by task."""
    adapts = name in ("fomaml", "foprotomaml")
    return work.way <= 20 if adapts else kind.side_by_side


def timed(setting: Setting, name: str, work: Work, kind: Kind) -> Result:
    """The median over rounds of some steps each, with their spread, and the largest memory in MiB."""
    on_gpu = setting.device.type == "cuda"
    model = method(name, work.shape).to(setting.device)
    if not kind.channels_last:
        model = model.to(memory_format=torch.contiguous_format)
    number = TASKS_A_STEP if model.separable else 1
    schedule = replace(SCHEDULE, size=number)
    step = Stepper(model, schedule, cuda_recorder(model, schedule, setting.device) if kind.recorded else None)
    if model.separable:
        step.tasks_at_once = number if kind.side_by_side else 1
    shots = {"way": work.way, "shot": work.shot, "queries": work.queries}
    tasks = [random_tasks(work.shape, number, **shots, device=setting.device.type)]
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with computing(model, kind):
        warm_up = setting.seconds(lambda: take(step, WARM_UP * tasks))
        steps, rounds = setting.size(50, 2) * tasks, setting.size(5, 2)
        rates = [1e3 * setting.seconds(lambda: take(step, steps)) / len(steps) for _ in range(rounds)]
    return {
        "ms": statistics.median(rates),
        "spread": max(rates) - min(rates),
        "tasks/s": 1e3 * number / statistics.median(rates),
        "recorded": step.recorded,
        "warm-up s": warm_up,
        "MiB": torch.cuda.max_memory_allocated() >> 20 if on_gpu else None,
    }


@contextmanager
def computing(model: Method, kind: Kind) -> Iterator[None]:
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=kind.tf32),
        backbones_in("bf16" if kind.bf16 else "fp32", model),
    ):
        yield


def take(step: Stepper, tasks: Sequence[Tasks]) -> None:
    for number, each in enumerate(tasks):
        step(each, number)
