"""What every method is, and the families that share how they learn.

Method
├── FeatureMethod       answers from features of single images: embed, then compare
│   ├── MetricMethod        learns by comparing, from tasks
│   └── ClassifierMethod    a ClassifierTraining too
├── ClassifierTraining  learns to classify all training classes, from batches
└── GradientMethod      (fsbench.methods.gradient) adapts its weights to the support set, from tasks
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import MakeBackbone
from fsbench.errors import TrainingError
from fsbench.tasks import Batch, PooledTasks, Tasks

__all__ = [
    "ClassifierMethod",
    "ClassifierTraining",
    "FeatureMethod",
    "Method",
    "MetricMethod",
    "check_logits",
    "cosines",
    "nearest",
    "one_hot",
    "prototypes",
]


class Method(nn.Module, ABC):
    """Something that learns from training data and classifies the queries of a task.

    A subclass takes `make_backbone`, the number of training `classes`, and its hyper-parameters as
    keyword-only arguments without defaults: their values stand in the suite file. What it cannot keep it declares
    (transductive, names_matter, order_matters, most_ways); `fsbench check` fails a breach that is not declared, and a
    declared one that is not there.

    Attributes:
        transductive: Whether a query's answer depends on the other queries.
        names_matter: Whether answers depend on the numbers by which the classes of a task are called.
        order_matters: Whether answers depend on the order of the support images.
        most_ways: The most classes of a task that it can answer; None: any number.
        label: The method's name in tables.
        learns_from: What its `loss` takes: "episodes" (`Tasks`) or "batches" (`Batch`).
        separable: Whether the loss of a batch of tasks is the mean of its tasks' own losses, so that they
            may be computed in parts.
        replayable: Whether `loss` does the same operations in every step and nothing else (no Python-side
            counters, no waiting for the device), so that a GPU may replay a recording of them. True for the
            families below; a subclass that breaks it says False.
        noisy: Whether `loss` draws from torch's generators (`F.dropout`, `torch.randn_like`). Before every part of a
            step they are set by the training's seed and the step, so that a stopped training goes on with the same
            noise; such steps are not replayed. `predict` never draws.
        pools: Whether `loss` takes `PooledTasks` too: tasks on the same images, which it embeds once.
        any_backbone: Whether it answers on any network in evaluation mode, also on one from elsewhere that no training
            prepared, though not from features of single images (`embeds_once`).
        revision: Raised when the same hyper-parameters would give other numbers.
    """

    transductive: ClassVar[bool] = False
    names_matter: ClassVar[bool] = False
    order_matters: ClassVar[bool] = False
    most_ways: ClassVar[int | None] = None
    label: ClassVar[str]
    learns_from: ClassVar[Literal["episodes", "batches"]] = "episodes"
    revision: ClassVar[int] = 1
    separable: ClassVar[bool] = False
    noisy: ClassVar[bool] = False
    pools: ClassVar[bool] = False
    any_backbone: ClassVar[bool] = False
    replayable: ClassVar[bool] = False

    @classmethod
    def embeds_once(cls) -> bool:
        """Whether it answers from features of single images, so that every image of a source is embedded once."""
        return False

    @abstractmethod
    def loss(self, data: Any) -> Tensor:
        """Training objective, a scalar: mean over a batch of `Tasks`, or over a `Batch` of images."""

    @abstractmethod
    def predict(self, tasks: Tasks) -> Tensor:
        """Logits `[B, Q, way]` of the queries; changes nothing in the model."""


class FeatureMethod(Method):
    """A method whose answer needs only features of single images, so that every image is embedded once.

    Attributes:
        fits_head: Whether `compare` makes a linear head of the support set (class means, say), so that the queries of
            an episode are best compared at once. Else those of a large episode are compared in parts, since an array
            of queries, classes and features may have no room.
    """

    fits_head: ClassVar[bool] = False

    @classmethod
    def embeds_once(cls) -> bool:
        """Whether it does: a transductive one looks at the queries of an episode together."""
        return not cls.transductive

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Features `[N, ...]` of images `[N, C, H, W]`."""

    @abstractmethod
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        """Logits `[B, Q, way]`.

        Args:
            support: Features `[B, S, ...]`.
            labels: Of the support, `[B, S]`.
            query: Features `[B, Q, ...]`.
            way: Classes per task.
        """

    def predict(self, tasks: Tasks) -> Tensor:
        """Logits `[B, Q, way]`, by `embed` and `compare`."""
        return self.answer(tasks)

    def answer(self, tasks: Tasks | PooledTasks) -> Tensor:
        """Logits `[B, Q, way]`, by `embed` and `compare`; the images of all tasks are embedded as one batch."""
        support, query = tasks.gathered(self.embed(tasks.images))
        logits = self.compare(support, tasks.support_labels, query, tasks.way)
        check_logits(self, logits, tasks.query_labels, tasks.way)
        return logits


class MetricMethod(FeatureMethod):
    """A backbone trained by comparing; in training, support and query form one batch of its normalisation."""

    replayable = True
    pools = True

    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__()
        self.backbone = make_backbone()

    def embed(self, images: Tensor) -> Tensor:
        """Features `[N, D]`."""
        features: Tensor = self.backbone(images)
        return features

    def loss(self, tasks: Tasks | PooledTasks) -> Tensor:
        """Cross-entropy of the queries."""
        return F.cross_entropy(self.answer(tasks).flatten(0, 1), tasks.query_labels.flatten())


class ClassifierTraining(Method):
    """A backbone trained to classify all training classes.

    The pretraining is that of the "Baseline" of Chen et al., "A closer look at few-shot classification",
    ICLR 2019: one linear layer on the features, cross-entropy.

    Deviations: the images of a batch are drawn with replacement, the layer's bias starts at random instead of at
    zero, augmentation crops the prepared images instead of larger originals, test images are no centre crops,
    and the weights are those of the best look at 1-shot validation episodes (under the protocol "variable" at
    variable ones) instead of the last.
    """

    learns_from = "batches"
    replayable = True

    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__()
        self.backbone = make_backbone()
        self.classifier = nn.Linear(self.backbone.features, classes) if classes else nn.Identity()  # none to be trained

    def embed(self, images: Tensor) -> Tensor:
        """Features `[N, D]`."""
        features: Tensor = self.backbone(images)
        return features

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy over the training classes."""
        return F.cross_entropy(self.classifier(self.embed(batch.images)), batch.labels)


class ClassifierMethod(ClassifierTraining, FeatureMethod):
    """A backbone trained to classify all training classes, then frozen."""


def check_logits(method: Method, logits: object, labels: Tensor, way: int) -> None:
    """See that a method answers every query of every task, `[B, Q]`, by a number for every class.

    Raises:
        TrainingError: It does not.
    """
    if isinstance(logits, Tensor) and logits.shape == (*labels.shape, way):
        return
    found = f"logits of shape {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    raise TrainingError(
        f"{method.label} gives {found} for {labels.shape[1]} queries of each of {labels.shape[0]} tasks of {way} "
        f"classes; give logits of shape {[*labels.shape, way]}."
    )


def one_hot(labels: Tensor, way: int, like: Tensor) -> Tensor:
    """Labels `[...]` as indicator vectors `[..., way]` in the type of `like`."""
    return F.one_hot(labels, way).to(like.dtype)


def cosines(query: Tensor, support: Tensor) -> Tensor:
    """Cosine similarities `[B, Q, S]` of features `[B, Q, D]` and `[B, S, D]`; 0 where a feature is zero."""
    lengths = [features.norm(dim=-1).clamp_min(1e-12) for features in (query, support)]
    similarities: Tensor = query @ support.mT / lengths[0].unsqueeze(2) / lengths[1].unsqueeze(1)
    return similarities


def nearest(similarities: Tensor, labels: Tensor, way: int) -> Tensor:
    """Of similarities `[B, Q, S]` to support images with labels `[B, S]`, the largest of every class `[B, Q, way]`."""
    none = similarities.new_full((*similarities.shape[:2], way), -torch.inf)
    return none.scatter_reduce(2, labels.unsqueeze(1).expand_as(similarities), similarities, "amax")


def prototypes(support: Tensor, labels: Tensor, way: int) -> Tensor:
    """Mean feature of every class `[B, way, D]`, from support features `[B, S, D]` and labels `[B, S]`."""
    members = one_hot(labels, way, support)
    return members.transpose(1, 2) @ support / members.sum(1).unsqueeze(-1)
