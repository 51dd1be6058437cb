"""The checkpoint of a training: under way, from which it goes on, and finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from torch import Tensor

from fsbench.engine.checkpoints import load_checkpoint, save_checkpoint
from fsbench.engine.schedule import Schedule
from fsbench.engine.tally import SUFFIX
from fsbench.errors import RecordError
from fsbench.files.atomic import remove
from fsbench.files.strict import Count, Text
from fsbench.methods.base import Method
from fsbench.records import TrainingSummary, Validation

__all__ = [
    "Course",
    "forget_training",
    "load_trained",
    "load_training",
    "save_trained",
    "save_training",
    "tally_file",
]

_SECONDS = TypeAdapter(Annotated[float, Field(ge=0, allow_inf_nan=False)])


class Course(BaseModel):
    """What a training knows beside its tensors; it stands in the checkpoint's header.

    Attributes:
        step: Steps taken.
        best_step: The one after which a look at the validation episodes found the best accuracy.
        best_accuracy: In percent; -1 before the first look.
        seconds: That all of it took.
        commits: Of the code that took the steps.
        precisions: Of the backbone, in the steps.
        history: All looks.
        start: SHA-256 of the trained weights that it started from; None: nothing in it was trained.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    step: Count = 0
    best_step: Count = 0
    best_accuracy: Annotated[float, Field(ge=-1, le=100)] = -1.0
    seconds: Annotated[float, Field(ge=0)] = 0.0
    commits: list[Text] = Field(default_factory=list)
    precisions: list[Literal["fp32", "bf16"]] = Field(default_factory=list)
    history: list[Validation] = Field(default_factory=list)
    start: Text | None = None

    def exhausted(self, schedule: Schedule) -> bool:
        """Whether there is nothing left to do: all steps taken, or no new best for `patience` looks."""
        stale = sum(look.step > self.best_step for look in self.history)
        return self.step >= schedule.steps or (schedule.patience is not None and stale >= schedule.patience)


def load_trained(path: Path, method: Method) -> tuple[TrainingSummary, float] | None:
    """Load the kept weights of a finished training into a method.

    Returns:
        What the records say of the training, and the seconds that it took, in all the runs that it was done in; None
        when there is no finished one.

    Raises:
        RecordError: The checkpoint is damaged, or not one of this method; it may have some of its weights then.
    """
    found = load_checkpoint(path)
    if found is None or "summary" not in found[1]:
        return None
    with _belonging(path):
        method.load_state_dict(found[0])
        return TrainingSummary.model_validate(found[1]["summary"]), _SECONDS.validate_python(found[1]["seconds"])


def save_trained(path: Path, weights: dict[str, Tensor], summary: TrainingSummary, seconds: float) -> None:
    """Write the kept weights of a finished training, in the place of its state, and what the records say of it.

    Raises:
        OutputError: The folder cannot be written.
    """
    save_checkpoint(path, weights, {"summary": summary.model_dump(), "seconds": seconds})
    remove(tally_file(path))


def load_training(
    path: Path, method: Method, optimiser: torch.optim.Optimizer, schedule: Schedule
) -> tuple[Course, dict[str, Tensor], list[Tensor]] | None:
    """Load an unfinished training, if there is one, into method and optimiser.

    Returns:
        Its course, the best weights that a look found, and the losses of the steps since the last one.

    Raises:
        RecordError: The checkpoint is damaged, or not one of this training; the method may have some of its weights.
    """
    found = load_checkpoint(path)
    if found is None:
        return None
    with _belonging(path):
        course = Course.model_validate(found[1]["progress"])
        if not course.best_step <= course.step <= schedule.steps:
            raise ValueError(f"step {course.step} is none of it")
        best, losses = _load(found[0], method, optimiser)
        if _forms(best) != (_forms(method.state_dict()) if course.history else {}):
            raise ValueError("its best weights are not those of such a model")
        if len(losses) != course.step - (course.history[-1].step if course.history else 0):
            raise ValueError(f"it has {len(losses)} losses since its last look")
        return course, best, losses


def save_training(
    path: Path,
    method: Method,
    optimiser: torch.optim.Optimizer,
    best: dict[str, Tensor],
    losses: list[Tensor],
    course: Course,
) -> None:
    """Write the state of a training that is under way.

    Args:
        path: The checkpoint.
        method: Its weights after the last step.
        optimiser: And its state.
        best: The weights that the best look found; empty before the first look.
        losses: Of the steps since the last look, a scalar each.
        course: What else there is to know.

    Raises:
        OutputError: The folder cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in method.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    if losses:
        tensors["look.losses"] = torch.stack(losses)
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items() if value is not None}
    save_checkpoint(path, tensors, {"progress": course.model_dump()})


def tally_file(path: Path) -> Path:
    """Where the answers of a look at the validation episodes are kept, beside the checkpoint."""
    return path.with_suffix(SUFFIX)


def forget_training(path: Path) -> None:
    """Remove a checkpoint and what lies beside it.

    Raises:
        OutputError: The folder cannot be written.
    """
    remove(path)
    remove(tally_file(path))


def _load(
    tensors: Mapping[str, Tensor], method: Method, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Load what `save_training` wrote into method and optimiser; return the best weights and the losses."""
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "look": {}}
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        if group == "optimiser":
            index, _, name = name.partition(".")
            states.setdefault(int(index), {})[name] = value
        else:
            groups[group][name] = value
    method.load_state_dict(groups["model"])
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == weight.shape:  # a fused step walks through both in the order of memory
                state[name] = torch.empty_like(weight).copy_(value)
            elif value.numel() != 1:
                raise ValueError(f"its optimiser has {tuple(value.shape)} numbers for {tuple(weight.shape)} weights")
    return groups["best"], list(groups["look"].get("losses", torch.empty(0)))


def _forms(weights: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (value.dtype, value.shape) for name, value in weights.items()}


@contextmanager
def _belonging(path: Path) -> Iterator[None]:
    """Make of all that a sound checkpoint with strange content brings about, in torch too, that it is none of ours."""
    try:
        yield
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise RecordError(f"the checkpoint {path} is damaged (it is not of this training: {error!s:.300}).") from error
