"""Checks of a method's form: what it takes, and what it gives."""

from __future__ import annotations

import inspect
from typing import Final

import torch
from torch import Tensor

from fsbench.conformance.check import check, difference
from fsbench.conformance.placement import loose_tensors, misplaced
from fsbench.conformance.problem import WAY, draw_tasks
from fsbench.conformance.subject import Subject, changed, random_state
from fsbench.methods.base import Method
from fsbench.tasks import Tasks

__all__ = ["FORM_CHECKS", "TASKS_CHECKS"]

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


FORM_CHECKS: Final = (_signature_and_shapes, _device_and_type)
TASKS_CHECKS: Final = (_unequal_shots, _other_ways)


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
