"""Checks of a method's form and of how it learns."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import torch
from torch import Tensor

from fsbench.conformance.check import NotApplicableError, check, difference, same
from fsbench.conformance.placement import loose_tensors, misplaced
from fsbench.conformance.problem import WAY, draw_tasks
from fsbench.conformance.subject import Subject, changed, random_state, task_by_task
from fsbench.methods.base import Method, MetricMethod
from fsbench.methods.gradient import GradientMethod
from fsbench.methods.noise import addressed_noise, is_noisy
from fsbench.tasks import Tasks

__all__ = ["FORM_CHECKS", "LEARNING_CHECKS"]

_STEPS: Final = 60
_STEPS_A_LOOK: Final = 10
_RATES: Final = (1e-2, 1e-3)
_ENOUGH: Final = 0.6  # accuracy; untrained, it is near chance
_UNEQUAL: Final = (1, 3, 2, 4, 1)


@check(
    "signature and shapes",
    expected="The class has a label, its constructor takes make_backbone, classes and hyper-parameters as keyword-only "
    "arguments without defaults, `loss` gives a finite scalar to differentiate, and `predict` finite logits "
    "[B, Q, way].",
    usually="A hyper-parameter before the `*` of the constructor, a loss that is not averaged or was detached, logits "
    "with the axes of queries and classes swapped, or a logarithm or a division without a lower bound.",
)
def _signature_and_shapes(subject: Subject) -> str | None:
    if not isinstance(getattr(subject.method_class, "label", None), str):
        return "The class has no label."
    for parameter in list(inspect.signature(subject.method_class).parameters.values())[2:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            return f"The constructor's argument {str(parameter).partition(':')[0]!r} is not keyword-only."
        if parameter.default is not inspect.Parameter.empty:
            return f"The hyper-parameter {parameter.name!r} has a default, so that a suite need not state it."
    method = subject.build().float()
    loss = method.train().loss(subject.lesson(dtype=torch.float32))
    if not isinstance(loss, Tensor) or loss.shape or not loss.requires_grad or not loss.isfinite():
        return f"The loss of a new model is {_described(loss)}."
    return _wrong_logits(subject, draw_tasks(dtype=torch.float32), subject.build().float())


@check(
    "device and type",
    expected="Every tensor is a parameter, a buffer, or follows the device and the type of the input, so that the "
    "method runs on a GPU and in float64.",
    usually="torch.zeros, torch.arange or torch.eye without device= and dtype= (x.new_zeros(...) has both), a constant "
    "kept as an attribute instead of with register_buffer, or a detour through NumPy.",
)
def _device_and_type(subject: Subject) -> str | None:
    method, tasks, lesson = subject.build(), draw_tasks(), subject.lesson()
    if loose := list(loose_tensors(method)):
        return f"The constructor leaves a tensor in {', '.join(loose)}, neither as a parameter nor as a buffer."
    for name, act in (("loss", lambda: method.train().loss(lesson)), ("predict", lambda: method.eval().predict(tasks))):
        if found := misplaced(act):
            return f"In `{name}`, {found}."
    logits = subject.answer(tasks)
    if logits.dtype != torch.float64:
        return f"The logits of a float64 model on float64 images are {logits.dtype}."
    if not torch.cuda.is_available():
        return None
    apart = difference(subject.answer(changed(tasks, Tensor.cuda), subject.model().cuda()).cpu(), logits)
    return f"On CUDA the logits differ by {apart:.1e} from those on the CPU." if apart > 1e-5 else None


@check(
    "unequal shots",
    expected="`loss` and `predict` take tasks whose classes have different numbers of support images, here "
    f"{_UNEQUAL}.",
    usually="Support features are reshaped to [way, shot] instead of being gathered by their labels.",
)
def _unequal_shots(subject: Subject) -> str | None:
    return _wrong_in_tasks(subject, draw_tasks(shots=_UNEQUAL))


@check(
    "other ways",
    expected=f"A model trained on {WAY}-way tasks takes tasks of 2 and of 7 classes; or of as many as the class says "
    f"in `most_ways`, which is at least {WAY}, and of no more.",
    usually="A head, a one-hot code or a softmax for a fixed number of classes, where tasks.way should be read.",
)
def _other_ways(subject: Subject) -> str | None:
    most = subject.method_class.most_ways
    for way in (2, 7 if most is None else most):
        if wrong := _wrong_in_tasks(subject, draw_tasks(way=way)):
            return f"With {way} classes: {wrong}"
    if most is None:
        return None
    try:
        wrong = _wrong_in_tasks(subject, draw_tasks(way=most + 1))
    except Exception:  # whatever it refuses them with
        return None
    return None if wrong else f"It says `most_ways = {most}`, but takes {most + 1} classes."


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


FORM_CHECKS: Final = (_signature_and_shapes, _device_and_type)
LEARNING_CHECKS: Final = (_unequal_shots, _other_ways, _gradients, _determinism, _separable_loss, _learning)


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.shape:
        return f"a tensor of shape {list(value.shape)}"
    return f"{value.item()}, " + ("which cannot be differentiated" if not value.requires_grad else "not finite")


def _wrong_logits(subject: Subject, tasks: Tasks, method: Method | None = None) -> str | None:
    logits = subject.answer(tasks, method)
    shape = [*tasks.query_labels.shape, tasks.way]
    if list(logits.shape) != shape:
        return f"The logits have the shape {list(logits.shape)}, not {shape}."
    return None if logits.isfinite().all() else "The logits are not all finite."


def _wrong_in_tasks(subject: Subject, tasks: Tasks) -> str | None:
    """What is wrong with the loss, where it takes tasks, and the logits of some tasks."""
    if subject.method_class.learns_from == "episodes":
        with random_state(0):
            loss = subject.model().train().loss(tasks)
        if not loss.isfinite():
            return "The loss is not finite."
    return _wrong_logits(subject, tasks)


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
