"""Checks of what a method's answers may depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from fsbench.conformance.check import NotApplicableError, check, difference, same
from fsbench.conformance.problem import WAY, draw_tasks
from fsbench.conformance.subject import TENSORS, Subject, changed, task_by_task
from fsbench.methods.base import FeatureMethod, Method
from fsbench.tasks import Tasks

__all__ = ["ANSWER_CHECKS"]

_RENAMING: Final = (3, 0, 4, 1, 2)
_TIE: Final = 1e-9
_NAMED: Final = 3  # of the things that changed


@check(
    "tasks apart",
    expected="The logits of a task are the same whether it is answered alone or together with other tasks.",
    usually="Statistics taken over all images of a batch of tasks, such as batch normalisation in training mode or a "
    "mean over dim 0, or only the first task of a batch is read.",
)
def _tasks_apart(subject: Subject) -> str | None:
    tasks = draw_tasks(tasks=3)
    alone = torch.cat([subject.answer(task) for task in task_by_task(tasks)])
    return _apart(subject.answer(tasks), alone, "answered one at a time instead of three together")


@check(
    "queries apart",
    expected="The logits of a query do not depend on the other queries, unless the class says `transductive = True`; "
    "if it says so, they do.",
    usually="Batch normalisation left in training mode, a softmax or a mean over the axis of queries, or statistics of "
    "support and queries together. A method that means this is transductive; one that no longer does is not.",
)
def _queries_apart(subject: Subject) -> str | None:
    tasks, other = draw_tasks(), draw_tasks(seed=1)
    expected = subject.answer(tasks)[:, :1]
    places = torch.cat([torch.zeros(1, dtype=torch.int64), torch.arange(1, tasks.query.shape[1]).flip(0)])
    settings = {
        "changed": replace(tasks, query=torch.cat([tasks.query[:, :1], other.query[:, 1:]], dim=1)),
        "permuted": _with_queries(tasks, places),
        "removed": _with_queries(tasks, places[:1]),
    }
    found = [
        _apart(subject.answer(having)[:, :1], expected, f"when the other queries of its task were {what}")
        for what, having in settings.items()
    ]
    seen = next(filter(None, found), None)
    return _declared(subject.method_class.transductive, seen, "transductive", "the other queries changed")


@check(
    "query labels unread",
    expected="The logits do not depend on tasks.query_labels, which are there for losses and scores.",
    usually="Labels read in `predict`, often to count the queries of a class or in a helper shared with `loss`.",
)
def _query_labels_unread(subject: Subject) -> str | None:
    tasks = draw_tasks()
    relabelled = replace(tasks, query_labels=(tasks.query_labels + 1) % tasks.way)
    return _apart(subject.answer(relabelled), subject.answer(tasks), "when only the labels of the queries were changed")


@check(
    "class names",
    expected="Calling the classes of a task by other numbers permutes the logits in the same way, unless the class "
    "says `names_matter = True`; if it says so, it does not.",
    usually="A bias or a weight for every class number, or a head that starts from random or learned weights: the "
    "numbers of the classes are drawn again in every episode and mean nothing.",
)
def _class_names(subject: Subject) -> str | None:
    tasks, renaming = draw_tasks(), torch.tensor(_RENAMING)
    support, query = (renaming[labels[0]].argsort() for labels in (tasks.support_labels, tasks.query_labels))
    renamed = replace(tasks, support_labels=renaming[tasks.support_labels], query_labels=renaming[tasks.query_labels])
    sorted_anew = _with_queries(_with_support(renamed, support), query)  # as all our tasks are
    expected = subject.answer(tasks)[:, query]
    seen = _apart(subject.answer(sorted_anew)[..., renaming], expected, f"when the classes were renamed to {_RENAMING}")
    return _declared(subject.method_class.names_matter, seen, "names_matter", "the classes were renamed")


@check(
    "positions",
    expected="The order in which a task lists its support images does not change the logits, unless the class says "
    "`order_matters = True`; if it says so, it does. The order of the queries only permutes them.",
    usually="A method that memorises positions: it takes the support set as sorted by class instead of reading "
    "support_labels, or answers a query by where it stands. Steps on parts of the support set, or a recurrent network "
    "over it, depend on its order too, and say so.",
)
def _positions(subject: Subject) -> str | None:
    tasks, generator = draw_tasks(), torch.Generator().manual_seed(0)
    support, query = (torch.randperm(images.shape[1], generator=generator) for images in (tasks.support, tasks.query))
    expected = subject.answer(tasks)
    seen = _apart(
        subject.answer(_with_support(tasks, support)), expected, "when the support images came in another order"
    )
    return _declared(
        subject.method_class.order_matters, seen, "order_matters", "the support images came in another order"
    ) or _apart(
        subject.answer(_with_queries(tasks, query)), expected[:, query], "when the queries came in another order"
    )


@check(
    "constant encoder",
    expected="On a backbone whose features are all zero it answers exactly as many queries as guessing one class "
    "does, a tie going to the first class, and its logits are finite.",
    usually="An answer that does not come from the backbone's features, such as one from raw pixels or from what was "
    "known beforehand, or a division by the length of a feature that is zero.",
)
def _constant_encoder(subject: Subject) -> str | None:
    model = subject.build(constant=True)
    if not subject.backbones:
        raise NotApplicableError("it builds no backbone.")
    model.load_state_dict(subject.weights)
    # over the tasks every place of a query holds every class equally often, and the labels handed on say nothing
    tasks = draw_tasks(tasks=WAY)
    each = tasks.query.shape[1] // WAY
    query, labels = (
        torch.stack([images.roll(index * each, 0) for index, images in enumerate(part)])
        for part in (tasks.query, tasks.query_labels)
    )
    logits = subject.answer(replace(tasks, query=query, query_labels=torch.zeros_like(labels)), model)
    if not logits.isfinite().all():
        return "The logits are not all finite."
    top = logits.amax(-1, keepdim=True)
    answers = (logits >= top - _TIE * (1 + top.abs())).int().argmax(-1)
    right, guessed = int((answers == labels).sum()), labels.numel() // WAY
    return None if right == guessed else f"It answered {right} of {labels.numel()} queries; guessing answers {guessed}."


@check(
    "features once",
    expected="For a FeatureMethod that is not transductive, `compare` of features that `embed` gave image by image is "
    "what `predict` gives: `fsbench run` embeds every test image once and never calls `predict`.",
    usually="`predict` was overridden, and does more than `embed` and `compare` do; or `embed` looks at other images.",
)
def _features_once(subject: Subject) -> str | None:
    model, tasks = subject.model(), draw_tasks()
    if not isinstance(model, FeatureMethod) or not model.embeds_once():
        raise NotApplicableError("it does not answer from features of single images.")

    def embedded(images: Tensor) -> Tensor:
        each = torch.cat([model.embed(image) for image in images.flatten(0, 1).unsqueeze(1)])
        return each.view(*images.shape[:2], *each.shape[1:])

    with torch.no_grad():
        logits = model.compare(embedded(tasks.support), tasks.support_labels, embedded(tasks.query), tasks.way)
    return _apart(logits, subject.answer(tasks), "made by `compare` instead of `predict`")


@check(
    "no memory",
    expected="Answering another task in between does not change the logits of a task.",
    usually="Python state that goes from task to task: an attribute that `predict` sets, a cache under a key that two "
    "tasks share, adapted weights that are not thrown away.",
)
def _no_memory(subject: Subject) -> str | None:
    model, tasks = subject.model(), draw_tasks()
    logits = []
    for asked in (tasks, draw_tasks(seed=1), tasks):
        model.load_state_dict(subject.weights)  # changed weights are for the next check
        logits.append(subject.answer(asked, model))
    if torch.equal(logits[0], logits[2]):
        return None
    return f"The logits of a task changed by up to {difference(logits[2], logits[0]):.1e} after another was answered."


@check(
    "predict changes nothing",
    expected="`predict` leaves parameters, buffers, gradients, training mode and the tasks that it is given as they "
    "are.",
    usually="Batch normalisation left in training mode, whose running statistics move; `train()` or `eval()` called "
    "inside; gradient steps on the model's own weights; an operation in place, such as add_, on the images.",
)
def _predict_changes_nothing(subject: Subject) -> str | None:
    model, tasks = subject.model(), draw_tasks()
    given = changed(tasks, Tensor.clone)
    before = _state(model, given)
    with torch.no_grad():
        model.predict(given)
    after = _state(model, given)
    moved = [name for name in before | after if not _equal(before.get(name), after.get(name))]
    if not moved:
        return None
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return f"It changed {', '.join(moved[:_NAMED])}{more}."


@check(
    "all in the weights",
    expected="A model built again with the trained weights answers as the one that was trained does: `fsbench run` "
    "keeps nothing else.",
    usually="Something learned or counted in training is an attribute instead of a parameter or a buffer.",
)
def _all_in_the_weights(subject: Subject) -> str | None:
    tasks = draw_tasks()
    return _apart(
        subject.answer(tasks),
        subject.answer(tasks, subject.trained),
        "of a model built again with the weights of the trained one",
    )


ANSWER_CHECKS: Final = (
    _tasks_apart,
    _queries_apart,
    _query_labels_unread,
    _class_names,
    _positions,
    _constant_encoder,
    _features_once,
    _no_memory,
    _predict_changes_nothing,
    _all_in_the_weights,
)


def _declared(declared: bool, seen: str | None, name: str, when: str) -> str | None:
    """What was seen of a breach that is not declared; of one that is, that it was not seen."""
    if not declared:
        return seen
    return f"It says `{name} = True`, but no logits changed when {when}." if seen is None else None


def _apart(logits: Tensor, expected: Tensor, when: str) -> str | None:
    """What was seen, if the logits are not those expected."""
    if logits.shape != expected.shape:
        return f"The logits have the shape {list(logits.shape)} {when}, not {list(expected.shape)}."
    return None if same(logits, expected) else f"Logits differ by up to {difference(logits, expected):.1e} {when}."


def _with_support(tasks: Tasks, places: Tensor) -> Tasks:
    return replace(tasks, support=tasks.support[:, places], support_labels=tasks.support_labels[:, places])


def _with_queries(tasks: Tasks, places: Tensor) -> Tasks:
    return replace(tasks, query=tasks.query[:, places], query_labels=tasks.query_labels[:, places])


def _state(model: Method, tasks: Tasks) -> dict[str, Tensor | bool]:
    """Everything that `predict` must not change, by a name for it, copied."""
    state: dict[str, Tensor | bool] = {name: value.clone() for name, value in model.state_dict().items()}
    for name, module in model.named_modules():
        state[f"the training mode of {name or 'the model'}"] = module.training
    for name, weight in model.named_parameters():
        state[f"requires_grad of {name}"] = weight.requires_grad
        if weight.grad is not None:
            state[f"the gradient of {name}"] = weight.grad.clone()
    for name in TENSORS:
        state[f"tasks.{name}"] = getattr(tasks, name).clone()
    return state


def _equal(one: Tensor | bool | None, other: Tensor | bool | None) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one is other
