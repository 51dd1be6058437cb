"""A drill: what a step that cannot be recorded leaves behind on a GPU, and how near a recording is to eager steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from fsbench.engine.steps import Stepper, cuda_recorder
from gpu_setting import Result, Setting
from made import method
from peers import SCHEDULE, random_tasks

__all__ = ["drill"]

STEPS_TAKEN = 12
WAITING: dict[str, Callable[[Tensor], object]] = {
    "reads its loss": Tensor.item,  # found before it is captured
    "waits for the device": lambda loss: torch.cuda.synchronize() if loss.is_cuda else None,  # found by failing
}


def drill(setting: Setting, _: Result) -> Result:
    """How far the losses of recorded steps are from those of eager ones, relative to them.

    Then, for every kind of step that cannot be recorded: is it, and does the process still work?
    """
    (eager, _), (replayed, recorded) = take_steps(setting, recorded=False), take_steps(setting)
    apart = max(abs(b - a) / a for a, b in zip(eager, replayed, strict=True))
    result: Result = {"finished": True, "recorded": recorded, "replayed beside eager": apart}
    for title, wait in WAITING.items():
        _, bad = take_steps(setting, wait)
        result[title] = {"recorded": bad, **left_behind(setting), "the next is recorded": take_steps(setting)[1]}
    return result


def take_steps(
    setting: Setting, wait: Callable[[Tensor], object] | None = None, *, recorded: bool = True
) -> tuple[list[float], bool]:
    """The losses of some steps of ProtoNet, whose loss may wait for the device, and whether they were recorded."""
    proto, schedule = method("proto", setting.shape).to(setting.device), replace(SCHEDULE, size=1)
    if wait is not None:
        proto.loss = waiting(proto.loss, wait)
    step = Stepper(proto, schedule, cuda_recorder(proto, schedule, setting.device) if recorded else None)
    tasks = (random_tasks(setting.shape, 1, seed=seed, device=setting.device.type) for seed in range(STEPS_TAKEN))
    losses = [step(each, number) for number, each in enumerate(tasks)]
    return torch.stack(losses).tolist(), step.recorded


def waiting(loss: Callable[..., Tensor], wait: Callable[[Tensor], object]) -> Callable[..., Tensor]:
    def slow(*data: object) -> Tensor:
        value = loss(*data)
        wait(value)
        return value

    return slow


def left_behind(setting: Setting) -> Result:
    if setting.device.type == "cpu":
        return {}
    try:
        torch.cuda.empty_cache()
        torch.empty(1 << 28, dtype=torch.uint8, device=setting.device)
        torch.cuda.empty_cache()
        memory = "works"
    except RuntimeError as error:
        memory = f"{type(error).__name__}: {error}"
    return {"stream is the default": torch.cuda.current_stream() == torch.cuda.default_stream(), "memory": memory}
