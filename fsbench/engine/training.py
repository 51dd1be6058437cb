"""Training: the episodic and the batch loop, as one loop over addressed steps that can stop anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from fsbench.backbones.weights import weights_digest
from fsbench.engine.batches import training_data
from fsbench.engine.checkpoints import SECONDS_A_SAVE
from fsbench.engine.evaluation import asked_counts, correct_counts
from fsbench.engine.precision import backbones_in
from fsbench.engine.schedule import Schedule
from fsbench.engine.statistics import recompute_statistics
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.engine.store import ImageStore
from fsbench.engine.tally import Tally
from fsbench.engine.training_files import Course, load_training, save_trained, save_training, tally_file
from fsbench.episodes.protocol import AnyEpisodes
from fsbench.errors import TrainingError
from fsbench.methods.base import Method
from fsbench.methods.gradient import GradientMethod
from fsbench.progress import TrainingView
from fsbench.records import TrainingSummary, Validation

__all__ = ["train"]

_CHECKED_TASKS = 4
_SECONDS_A_REPORT = 0.2  # not every step: reading a loss waits for the device


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
    open_look: Callable[[], Callable[[int], None]] | None = None,
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
        open_look: Returns what is told how many validation episodes a look that begins has answered, if the method
            answers them one after the other.

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
    resumed = load_training(path, method, take_step.optimiser, schedule)
    course, best, losses = resumed or (Course(start=start), {}, [])  # the losses since the last look
    reported = saved = time.monotonic()
    started = reported - course.seconds
    if not course.exhausted(schedule):
        if commit is not None and commit not in course.commits:
            course.commits.append(commit)
        if precision not in course.precisions:
            course.precisions.append(precision)
    data = training_data(schedule, stores, course.step)

    def look(loss: float | None) -> float:
        """Add the accuracy on the validation episodes to the course, and keep the weights if they are the best."""
        nonlocal best, started
        tally = None
        if not method.embeds_once():
            looked_by = {"commit": commit, "precision": precision, "weights": weights_digest(method)}
            tally = Tally(tally_file(path), looked_by, None if open_look is None else open_look())
        accuracy = _accuracy(method, validation, tally)
        started -= 0.0 if tally is None else tally.seconds  # of this look, before it was stopped
        course.history.append(Validation(step=course.step, loss=loss, accuracy=accuracy))
        if accuracy > course.best_accuracy:
            course.best_step, course.best_accuracy = course.step, accuracy
            best = {name: value.clone() for name, value in method.state_dict().items()}
        return accuracy

    with backbones_in(precision, method):
        if start is not None and course.step == 0:
            look(None)
        while not course.exhausted(schedule):
            losses.append(take_step(next(data), course.step))
            course.step += 1
            looks = course.step % schedule.validate_every == 0 or course.step == schedule.steps
            if looks:
                loss = torch.stack(losses).mean().item()
                if not math.isfinite(loss):
                    untrained = course.step == len(losses) and not math.isfinite(losses[0].item())
                    cure = "mend how it is computed" if untrained else "lower the learning rate"
                    raise TrainingError(f"the loss of {method.label} is not finite at step {course.step}; {cure}.")
                if schedule.recompute_statistics is not None:
                    recompute_statistics(method, stores, schedule.recompute_statistics, schedule.seed)
                accuracy = look(loss)
                losses = []
            if looks or time.monotonic() - saved >= SECONDS_A_SAVE:
                for store in (*stores, validation[0]):
                    store.pack.check_unchanged()
                course.seconds = time.monotonic() - started
                save_training(path, method, take_step.optimiser, best, losses, course)
                saved = time.monotonic()
            if looks:
                watcher(course.step, loss, accuracy)
            elif time.monotonic() - reported >= _SECONDS_A_REPORT:
                watcher(course.step, losses[-1].item(), None)
                reported = time.monotonic()
    method.load_state_dict(best)
    summary = _summary(method, schedule, course)
    save_trained(path, best, summary, course.seconds)
    return summary


def _accuracy(method: Method, validation: tuple[ImageStore, AnyEpisodes], tally: Tally | None) -> float:
    """Mean accuracy on the validation episodes, percent; it warns if steps on the support sets raise the loss."""
    store, episodes = validation
    if isinstance(method, GradientMethod):
        method.check_steps(store.tasks(episodes.blocks[0][:_CHECKED_TASKS]))
    right = correct_counts(method, store, episodes, None, tally)
    return float(100.0 * (right / asked_counts(episodes)).mean())


def _summary(method: Method, schedule: Schedule, course: Course) -> TrainingSummary:
    sizes: dict[bool, int] = {True: 0, False: 0}
    for weight in method.parameters():
        sizes[weight.requires_grad] += weight.numel()
    return TrainingSummary(
        steps=course.step,
        planned_steps=schedule.steps,
        best_step=course.best_step,
        best_accuracy=course.best_accuracy,
        stopped_early=course.step < schedule.steps,
        parameters=sizes[True],
        frozen=sizes[False],
        history=course.history,
        precision="bf16" if "bf16" in course.precisions else "fp32",
        commits=course.commits,
        weights=weights_digest(method),
        start=course.start,
    )
