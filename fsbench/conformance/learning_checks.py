"""Checks of how a method learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import torch
from torch import Tensor

from fsbench.conformance.check import NotApplicableError, check, difference, same
from fsbench.conformance.problem import WAY, draw_tasks
from fsbench.conformance.subject import Subject, random_state, task_by_task
from fsbench.methods.base import MetricMethod
from fsbench.methods.gradient import GradientMethod
from fsbench.methods.noise import addressed_noise, is_noisy

__all__ = ["LEARNING_CHECKS"]

_STEPS: Final = 60
_STEPS_A_LOOK: Final = 10
_RATES: Final = (1e-2, 1e-3)
_ENOUGH: Final = 0.6  # accuracy; untrained, it is near chance


@check(
    "gradients",
    expected="The loss sends a gradient to every parameter with requires_grad, in a MetricMethod also through the "
    "support images, and in a GradientMethod also through the initial head, where that depends on the backbone.",
    usually="Detached prototypes, a torch.no_grad() around more than was meant, a layer that is built and not used, or "
    "an argmax on the way. A parameter that is not to learn says so with requires_grad_(False).",
)
def _gradients(subject: Subject) -> str | None:
    method = subject.model().train()
    method.loss(subject.lesson()).backward()  # type: ignore[no-untyped-call]
    idle = [name for name, weight in method.named_parameters() if weight.requires_grad and not _moved(weight)]
    if idle:
        return f"No gradient reaches {', '.join(idle)}."
    if isinstance(method, MetricMethod):
        return _cut_support(method)
    return _cut_head(method) if isinstance(method, GradientMethod) else None


@check(
    "determinism",
    expected="Two equal runs of training and answering give equal bits under torch's deterministic algorithms. Only "
    "the constructor may draw from torch's generator, and the loss of a method that says `noisy = True`: fsbench seeds "
    "it there, and a run that was stopped goes on without its later state.",
    usually="Dropout or noise from the global generator, Python's or NumPy's random numbers, a walk over a set, or an "
    "operation that has no deterministic form.",
)
def _determinism(subject: Subject) -> str | None:
    names = ("initial weights", "loss", "gradients", "logits")
    with _deterministic():
        runs = [_run(subject, seed) for seed in (1, 2)]
    for name, one, other in zip(names, *runs, strict=True):
        if not all(map(torch.equal, one, other)):
            apart = max(map(difference, one, other))
            return f"Two equal runs differ in their {name}, by up to {apart:.1e}."
    return None


@check(
    "separable loss",
    expected="A method that says `separable = True` has a loss that is the mean of its tasks' own losses, so that they "
    "may be computed in parts.",
    usually="Batch normalisation over all tasks of a batch, or a sum over tasks instead of a mean.",
)
def _separable_loss(subject: Subject) -> str | None:
    if not subject.method_class.separable:
        raise NotApplicableError("it does not say that its loss is separable.")
    method, tasks = subject.model().train(), draw_tasks(tasks=3)
    with random_state(0):
        whole = method.loss(tasks).detach()
        parts = torch.stack([method.loss(task).detach() for task in task_by_task(tasks)])
    if same(whole, parts.mean()):
        return None
    return f"The loss of three tasks is {whole.item():.6g}, the mean of their own losses {parts.mean().item():.6g}."


@check(
    "learning",
    expected=f"From {_STEPS} steps of Adam it learns to answer at least {_ENOUGH:.0%} of the queries of an easy "
    f"{WAY}-way, 2-shot problem, with one of the learning rates {_RATES[0]} and {_RATES[1]}.",
    usually="A loss with the wrong sign or a softmax over the wrong axis, weights that the loss does not reach, or "
    "`predict` and `loss` that compare in different ways. It may also be a method that needs more steps.",
)
def _learning(subject: Subject) -> str | None:
    tasks = draw_tasks(tasks=6, seed=_STEPS, dtype=torch.float32)  # no step of training draws them
    reached = []
    for rate in _RATES:
        method = subject.build().float()
        with random_state(0):
            for step, _ in enumerate(subject.training(method, _STEPS, rate), start=1):
                if step % _STEPS_A_LOOK == 0:
                    right = subject.answer(tasks, method).argmax(-1) == tasks.query_labels
                    reached.append(float(right.double().mean()))
                    if reached[-1] >= _ENOUGH:
                        return None
    return f"It answered {max(reached):.0%} at best; guessing answers {1 / WAY:.0%}."


LEARNING_CHECKS: Final = (_gradients, _determinism, _separable_loss, _learning)


def _moved(tensor: Tensor) -> bool:
    return tensor.grad is not None and bool(tensor.grad.any())


def _cut_support(method: MetricMethod) -> str | None:
    """Whether the loss does not reach the support images; batch statistics, a way around, are left out."""
    tasks = draw_tasks()
    tasks.support.requires_grad_()
    method.eval().loss(tasks).backward()  # type: ignore[no-untyped-call]
    return None if _moved(tasks.support) else "No gradient goes through the support images, only through the queries."


def _cut_head(method: GradientMethod) -> str | None:
    """Whether the head depends on the backbone's weights while its gradient does not reach them."""
    tasks = draw_tasks(tasks=1)
    weights: dict[str, Tensor] = dict(method.backbone.named_parameters())
    head = method.initial_head(tasks, weights)
    with torch.no_grad():
        other = method.initial_head(tasks, {name: 1.1 * weight for name, weight in weights.items()})
    if all(map(same, head, other)):
        return None
    reached = [part for part in head if part.requires_grad]
    sums = sum((part.square().sum() for part in reached), start=torch.zeros(()))
    found = torch.autograd.grad(sums, list(weights.values()), allow_unused=True) if reached else ()
    if any(gradient is not None and gradient.any() for gradient in found):
        return None
    return "The initial head depends on the backbone, but no gradient goes through it."


def _run(subject: Subject, seed: int) -> list[list[Tensor]]:
    """Initial weights, a loss, its gradients, and logits, of a run in which torch's generator has this state."""
    tasks = draw_tasks()
    initial = list(subject.build().state_dict().values())
    learner, model = subject.model().train(), subject.model()
    with random_state(seed):
        with addressed_noise(0, 0, 0, torch.device("cpu")) if is_noisy(learner) else nullcontext():
            loss = learner.loss(subject.lesson())
            loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            logits = model.predict(tasks)
    gradients = [weight.grad for weight in learner.parameters() if weight.grad is not None]
    return [initial, [loss.detach()], gradients, [logits]]


@contextmanager
def _deterministic() -> Iterator[None]:
    """Only operations with reproducible bits; others raise."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
