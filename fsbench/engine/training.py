"""Training: the episodic and the batch loop, as one loop over addressed steps that can stop anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from torch import Tensor

from fsbench.backbones.weights import weights_digest
from fsbench.engine.batches import training_data
from fsbench.engine.checkpoints import SECONDS_A_SAVE, load_checkpoint, save_checkpoint
from fsbench.engine.evaluation import asked_counts, correct_counts
from fsbench.engine.precision import backbones_in
from fsbench.engine.schedule import Schedule
from fsbench.engine.statistics import recompute_statistics
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.engine.store import ImageStore
from fsbench.engine.tally import SUFFIX, Tally
from fsbench.episodes.protocol import AnyEpisodes
from fsbench.errors import RecordError, TrainingError
from fsbench.files.atomic import remove
from fsbench.files.strict import Count, Text
from fsbench.methods.base import Method
from fsbench.methods.gradient import GradientMethod
from fsbench.progress import TrainingView
from fsbench.records import TrainingSummary, Validation

__all__ = ["load_trained", "train"]

_CHECKED_TASKS = 4
_SECONDS = TypeAdapter(Annotated[float, Field(ge=0, allow_inf_nan=False)])
_SECONDS_A_REPORT = 0.2  # not every step: reading a loss waits for the device


class _Progress(BaseModel):
    """What a training knows beside its tensors; it stands in the checkpoint's header."""

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


def train(
    method: Method,
    schedule: Schedule,
    stores: Sequence[ImageStore],
    validation: tuple[ImageStore, AnyEpisodes],
    path: Path,
    watcher: TrainingView,
    *,
    precision: Literal["fp32", "bf16"] = "fp32",
    start: str | None = None,
    commit: str | None = None,
) -> TrainingSummary:
    """Train a method, keep the weights that did best on the validation episodes, and load them into it.

    The state is saved at every look at the validation episodes, and every two minutes; so are the answers of a look
    that takes longer. A training that was stopped goes on from there and ends with the same weights: every step's data
    has an address, and nothing else is random.

    Args:
        method: With the weights to start from, on the device of the stores.
        schedule: What to do.
        stores: The training images of every source.
        validation: The validation images and episodes.
        path: The checkpoint: gone on from if it is there, and rewritten.
        watcher: Told how it goes.
        precision: Of the backbone, in the steps and in the looks at the validation episodes.
        start: SHA-256 of the trained weights that it starts from. It then looks at the validation episodes before the
            first step too, and keeps those weights if no later ones do better. None: nothing in it was trained.
        commit: Of the code that takes the steps, for the records.

    Returns:
        What the records say of the training.

    Raises:
        RecordError: The checkpoint is damaged, or not one of this training; the method may have some of its weights
            then, and nothing is changed.
        TrainingError: The loss is not finite.
        DeviceError: The device has too little memory.
        OutputError: The checkpoint cannot be written.
        DataError: The images were changed meanwhile.
    """
    take_step = Stepper(method, schedule, cuda_recorder(method, schedule, stores[0].device))
    resumed = _resume(path, method, take_step.optimiser, schedule)
    progress, best, losses = resumed or (_Progress(start=start), {}, [])  # the losses since the last look
    reported = saved = time.monotonic()
    started = reported - progress.seconds
    if not progress.exhausted(schedule):
        if commit is not None and commit not in progress.commits:
            progress.commits.append(commit)
        if precision not in progress.precisions:
            progress.precisions.append(precision)
    data = training_data(schedule, stores, progress.step)
    tally_file = path.with_suffix(SUFFIX)
    looked_by = {"commit": commit, "precision": precision}
    with backbones_in(precision, method):
        if start is not None and progress.step == 0:
            progress.best_accuracy, earlier = _accuracy(method, validation, tally_file, looked_by)
            started -= earlier
            progress.history.append(Validation(step=0, loss=None, accuracy=progress.best_accuracy))
            best = {name: value.clone() for name, value in method.state_dict().items()}
        while not progress.exhausted(schedule):
            losses.append(take_step(next(data), progress.step))
            progress.step += 1
            looks = progress.step % schedule.validate_every == 0 or progress.step == schedule.steps
            if looks:
                loss = torch.stack(losses).mean().item()
                if not math.isfinite(loss):
                    raise TrainingError(
                        f"the loss of {method.label} is not finite at step {progress.step}; lower the learning rate."
                    )
                if schedule.recompute_statistics is not None:
                    recompute_statistics(method, stores, schedule.recompute_statistics, schedule.seed)
                accuracy, earlier = _accuracy(method, validation, tally_file, looked_by)
                started -= earlier
                progress.history.append(Validation(step=progress.step, loss=loss, accuracy=accuracy))
                if accuracy > progress.best_accuracy:
                    progress.best_step, progress.best_accuracy = progress.step, accuracy
                    best = {name: value.clone() for name, value in method.state_dict().items()}
                losses = []
            if looks or time.monotonic() - saved >= SECONDS_A_SAVE:
                _check_unchanged(stores, validation[0])
                progress.seconds = time.monotonic() - started
                _save(path, method, take_step.optimiser, best, losses, progress)
                saved = time.monotonic()
            if looks:
                watcher(progress.step, loss, accuracy)
            elif time.monotonic() - reported >= _SECONDS_A_REPORT:
                watcher(progress.step, losses[-1].item(), None)
                reported = time.monotonic()
    method.load_state_dict(best)
    summary = TrainingSummary(
        steps=progress.step,
        planned_steps=schedule.steps,
        best_step=progress.best_step,
        best_accuracy=progress.best_accuracy,
        stopped_early=progress.step < schedule.steps,
        parameters=sum(weight.numel() for weight in method.parameters() if weight.requires_grad),
        frozen=sum(weight.numel() for weight in method.parameters() if not weight.requires_grad),
        history=progress.history,
        precision="bf16" if "bf16" in progress.precisions else "fp32",
        commits=progress.commits,
        weights=weights_digest(method),
        start=progress.start,
    )
    save_checkpoint(path, best, {"summary": summary.model_dump(), "seconds": progress.seconds})
    remove(tally_file)
    return summary


def _check_unchanged(stores: Sequence[ImageStore], looked_at: ImageStore) -> None:
    for store in (*stores, looked_at):
        store.pack.check_unchanged()


def _accuracy(
    method: Method, validation: tuple[ImageStore, AnyEpisodes], tally_file: Path, looked_by: Mapping[str, str | None]
) -> tuple[float, float]:
    """Mean accuracy on the validation episodes, percent, and the seconds of this look before it was stopped.

    It warns if steps on the support sets raise the loss.
    """
    store, episodes = validation
    if isinstance(method, GradientMethod):
        method.check_steps(store.tasks(episodes.blocks[0][:_CHECKED_TASKS]))
    tally = None if method.embeds_once() else Tally(tally_file, {**looked_by, "weights": weights_digest(method)})
    right = correct_counts(method, store, episodes, None, tally)
    return float(100.0 * (right / asked_counts(episodes)).mean()), 0.0 if tally is None else tally.seconds


def _save(
    path: Path,
    method: Method,
    optimiser: torch.optim.Optimizer,
    best: dict[str, Tensor],
    losses: list[Tensor],
    progress: _Progress,
) -> None:
    tensors = {f"model.{name}": value for name, value in method.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    if losses:
        tensors["look.losses"] = torch.stack(losses)
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items() if value is not None}
    save_checkpoint(path, tensors, {"progress": progress.model_dump()})


def _resume(
    path: Path, method: Method, optimiser: torch.optim.Optimizer, schedule: Schedule
) -> tuple[_Progress, dict[str, Tensor], list[Tensor]] | None:
    """Load an unfinished training, if there is one, into method and optimiser.

    Returns:
        Its progress, the best weights that a look found, and the losses of the steps since the last one.
    """
    found = load_checkpoint(path)
    if found is None:
        return None
    with _belonging(path):
        progress = _Progress.model_validate(found[1]["progress"])
        if not progress.best_step <= progress.step <= schedule.steps:
            raise ValueError(f"step {progress.step} is none of it")
        best, losses = _load(found[0], method, optimiser)
        if _forms(best) != (_forms(method.state_dict()) if progress.history else {}):
            raise ValueError("its best weights are not those of such a model")
        if len(losses) != progress.step - (progress.history[-1].step if progress.history else 0):
            raise ValueError(f"it has {len(losses)} losses since its last look")
        return progress, best, losses


def _load(
    tensors: Mapping[str, Tensor], method: Method, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Load what `_save` wrote into method and optimiser; return the best weights and the losses."""
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
