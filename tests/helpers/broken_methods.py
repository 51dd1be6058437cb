"""Methods with one fault each, as they come about in practice, by the check that must find it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import MakeBackbone
from fsbench.methods.base import FeatureMethod, Method, MetricMethod, one_hot, prototypes
from fsbench.methods.fomaml import FirstOrderMAML
from fsbench.methods.foprotomaml import FirstOrderProtoMAML
from fsbench.methods.gradient import GradientMethod, Weights
from fsbench.methods.proto import ProtoNet
from fsbench.tasks import Tasks

__all__ = ["BROKEN", "DECLARED", "BatchNormInTrainingMode", "broken_params"]

INNER: Final = {"inner_rate": 0.05, "train_steps": 1, "test_steps": 1}


def broken_params(method: type[Method]) -> dict[str, Any]:
    """The hyper-parameters of a broken method."""
    if not issubclass(method, GradientMethod):
        return {}
    return {**INNER, "temperature": 1.0} if issubclass(method, FirstOrderProtoMAML) else dict(INNER)


class _Proto(ProtoNet):
    """The sound method that most of these spoil."""

    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__(make_backbone, classes, temperature=1.0)


class NoLabel(MetricMethod):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return -torch.cdist(query, prototypes(support, labels, way))


class HasADefault(_Proto):
    def __init__(self, make_backbone: MakeBackbone, classes: int, *, scale: float = 1.0) -> None:
        super().__init__(make_backbone, classes)
        self.scale = scale


class AxesSwapped(_Proto):
    def predict(self, tasks: Tasks) -> Tensor:
        return super().predict(tasks).transpose(1, 2)

    def loss(self, tasks: Tasks) -> Tensor:
        return F.cross_entropy(self.predict(tasks), tasks.query_labels)


class LossNotAveraged(_Proto):
    def loss(self, tasks: Tasks) -> Tensor:
        return F.cross_entropy(self.predict(tasks).transpose(1, 2), tasks.query_labels, reduction="none")


class MakesTensorsOnTheHost(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return super().compare(support, labels, query, way) + torch.zeros(way, dtype=query.dtype)


class MakesTensorsInFloat32(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        members = F.one_hot(labels, way).float()
        return -torch.cdist(query, members.transpose(1, 2) @ support / members.sum(1).unsqueeze(-1))


class ConstantIsNoBuffer(_Proto):
    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__(make_backbone, classes)
        self.scale = torch.tensor(2.0)

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return self.scale * super().compare(support, labels, query, way)


class ReshapesShots(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        order = labels.argsort(dim=1, stable=True)[..., None].expand_as(support)
        centres = support.gather(1, order).view(len(support), way, -1, support.shape[-1]).mean(2)
        return -torch.cdist(query, centres)


class FixedWay(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return (query @ support.mT).softmax(-1) @ one_hot(labels, 5, query)


class DetachedPrototypes(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        with torch.no_grad():
            centres = prototypes(support, labels, way)
        return -torch.cdist(query, centres).square()


class DetachedInitialHead(FirstOrderProtoMAML):
    def initial_head(self, tasks: Tasks, backbone: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        head, bias = super().initial_head(tasks, backbone)
        return head.detach(), bias.detach()


class IdleLayer(_Proto):
    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__(make_backbone, classes)
        self.projection = nn.Linear(self.backbone.features, self.backbone.features)


class Dropout(_Proto):
    def embed(self, images: Tensor) -> Tensor:
        return F.dropout(super().embed(images), 0.2, training=self.training)


class SaysItIsNoisy(Dropout):
    noisy = True


class WeightsFromNumpy(_Proto):
    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__(make_backbone, classes)
        self.scale = nn.Parameter(torch.tensor(1 + 0.1 * np.random.default_rng().random()))

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return self.scale * super().compare(support, labels, query, way)


class SumOverTasks(_Proto):
    separable = True

    def loss(self, tasks: Tasks) -> Tensor:
        self.backbone.eval()
        return len(tasks) * super().loss(tasks)


class WrongSign(_Proto):
    def loss(self, tasks: Tasks) -> Tensor:
        return -super().loss(tasks)


class SoftmaxOverTheQueriesInTraining(_Proto):
    def loss(self, tasks: Tasks) -> Tensor:
        picked = self.predict(tasks).log_softmax(1).softmax(2)[one_hot(tasks.query_labels, tasks.way, tasks.query) > 0]
        return picked.mean()


class CentredOverTheBatch(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        centres = prototypes(support, labels, way)
        return -torch.cdist(query, centres - centres.mean(dim=0))


class BatchNormInTrainingMode(_Proto):
    """The most common fault; it shows in several checks, so that it stands apart from those below."""

    def embed(self, images: Tensor) -> Tensor:
        self.backbone.train()
        return super().embed(images)


class BatchStatistics(FirstOrderMAML):
    """The queries normalised by their own statistics, and nothing said of it."""

    def query_logits(self, weights: Weights, tasks: Tasks) -> Tensor:
        return self._logits(weights, tasks.query, tasks.query.shape[1])


class SoftmaxOverTheQueries(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return super().compare(support, labels, query, way).log_softmax(1)


class NotTransductive(_Proto):
    transductive = True


class ReadsQueryLabels(Method):
    """A cheat; or a helper that loss and predict share."""

    label = "reads labels"

    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__()
        self.proto = ProtoNet(make_backbone, classes, temperature=1.0)

    def predict(self, tasks: Tasks) -> Tensor:
        return self.proto.predict(tasks) + 0.1 * one_hot(tasks.query_labels, tasks.way, tasks.query)

    def loss(self, tasks: Tasks) -> Tensor:
        return self.proto.loss(tasks)


class BiasOfEveryClass(_Proto):
    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__(make_backbone, classes)
        self.bias = nn.Parameter(torch.zeros(100))

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return super().compare(support, labels, query, way) + self.bias[:way]


class SaysNamesMatter(_Proto):
    names_matter = True


class SaysOrderMatters(_Proto):
    order_matters = True


class SaysFewWays(_Proto):
    most_ways = 5


class NamesMatter(BiasOfEveryClass):
    """Sound, since it says so."""

    names_matter = True


class TakesTheSupportAsSorted(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return super().compare(support, labels.sort(dim=1).values, query, way)


class OrderMatters(TakesTheSupportAsSorted):
    """Sound, since it says so."""

    order_matters = True


class FewWays(_Proto):
    """Sound, since it says so."""

    most_ways = 5

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return super().compare(support, labels, query, way) + one_hot(labels, 5, query).sum().mul(0)


class MemorisesQueryPositions(Method):
    """It answers the first queries with the first class, the next with the second, and so on."""

    label = "by position"

    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__()
        self.proto = ProtoNet(make_backbone, classes, temperature=1.0)

    def predict(self, tasks: Tasks) -> Tensor:
        answers = torch.arange(tasks.query.shape[1], device=tasks.query.device) // 3 % tasks.way
        return self.proto.predict(tasks) + 10 * one_hot(answers, tasks.way, tasks.query)

    def loss(self, tasks: Tasks) -> Tensor:
        return self.proto.loss(tasks)


class ComparesPixels(FeatureMethod):
    """Its answers come from the images beside the features."""

    label = "pixels"

    def __init__(self, make_backbone: MakeBackbone, classes: int) -> None:
        super().__init__()
        self.backbone = make_backbone()

    def embed(self, images: Tensor) -> Tensor:
        return torch.cat([self.backbone(images), images.flatten(1)], dim=1)

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return -torch.cdist(query, prototypes(support, labels, way)).square()

    def loss(self, tasks: Tasks) -> Tensor:
        return F.cross_entropy(self.predict(tasks).flatten(0, 1), tasks.query_labels.flatten())


class DividesByLength(_Proto):
    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        centres = prototypes(support, labels, way)
        lengths = query.norm(dim=-1, keepdim=True) * centres.norm(dim=-1).unsqueeze(1)
        return 10 * query @ centres.mT / lengths


class PredictDoesMore(_Proto):
    def predict(self, tasks: Tasks) -> Tensor:
        return 2 * super().predict(tasks)


class RemembersTheLastTask(_Proto):
    previous = 0.0

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        logits = super().compare(support, labels, query, way) * (1 + self.previous)
        if not self.training:
            self.previous = support.square().mean().item()
        return logits


class LeftInTrainingMode(_Proto):
    def predict(self, tasks: Tasks) -> Tensor:
        logits = super().predict(tasks)
        self.train()
        return logits


class WorksInPlace(_Proto):
    def predict(self, tasks: Tasks) -> Tensor:
        logits = super().predict(tasks)
        tasks.query.add_(1)
        return logits


class LearnsAnAttribute(_Proto):
    mean_loss = 0.0

    def compare(self, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        return super().compare(support, labels, query, way) * (1 + self.mean_loss)

    def loss(self, tasks: Tasks) -> Tensor:
        loss = super().loss(tasks)
        self.mean_loss = loss.item()
        return loss


BROKEN: Final[tuple[tuple[type[Method], str], ...]] = (
    (NoLabel, "signature and shapes"),
    (HasADefault, "signature and shapes"),
    (AxesSwapped, "signature and shapes"),
    (LossNotAveraged, "signature and shapes"),
    (MakesTensorsOnTheHost, "device and type"),
    (MakesTensorsInFloat32, "device and type"),
    (ConstantIsNoBuffer, "device and type"),
    (ReshapesShots, "unequal shots"),
    (FixedWay, "other ways"),
    (SaysFewWays, "other ways"),
    (DetachedPrototypes, "gradients"),
    (DetachedInitialHead, "gradients"),
    (IdleLayer, "gradients"),
    (Dropout, "determinism"),
    (WeightsFromNumpy, "determinism"),
    (SumOverTasks, "separable loss"),
    (WrongSign, "learning"),
    (SoftmaxOverTheQueriesInTraining, "learning"),
    (CentredOverTheBatch, "tasks apart"),
    (BatchStatistics, "queries apart"),
    (SoftmaxOverTheQueries, "queries apart"),
    (NotTransductive, "queries apart"),
    (ReadsQueryLabels, "query labels unread"),
    (BiasOfEveryClass, "class names"),
    (SaysNamesMatter, "class names"),
    (SaysOrderMatters, "positions"),
    (TakesTheSupportAsSorted, "positions"),
    (MemorisesQueryPositions, "positions"),
    (ComparesPixels, "constant encoder"),
    (DividesByLength, "constant encoder"),
    (PredictDoesMore, "features once"),
    (RemembersTheLastTask, "no memory"),
    (LeftInTrainingMode, "predict changes nothing"),
    (WorksInPlace, "predict changes nothing"),
    (LearnsAnAttribute, "all in the weights"),
)

DECLARED: Final[tuple[type[Method], ...]] = (NamesMatter, OrderMatters, FewWays, SaysItIsNoisy)  # what they break
