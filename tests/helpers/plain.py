"""The slow and obvious form of what fsbench does in a fast way: tests and benchmarks hold it against this."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor, nn

from fsbench.backbones.conv4 import Conv4
from fsbench.methods.base import FeatureMethod, prototypes
from fsbench.methods.foprotomaml import FirstOrderProtoMAML
from fsbench.methods.gradient import GradientMethod
from fsbench.methods.leo import LEO
from fsbench.methods.maml import ANIL
from fsbench.methods.relation import RelationNet
from fsbench.tasks import Tasks

__all__ = [
    "PlainConv4",
    "PlainNetwork",
    "plain_contrastive",
    "plain_finetune",
    "plain_inner_loop",
    "plain_leo",
    "plain_method",
    "plain_norm",
    "plain_relation",
    "plain_ridge",
    "plain_svm",
]


class PlainConv4(nn.Module):
    """A Conv4 as it is usually written: nothing folded, ReLU before pooling, contiguous; with a copy of the weights."""

    def __init__(self, backbone: Conv4) -> None:
        super().__init__()
        blocks = copy.deepcopy(backbone).to(memory_format=torch.contiguous_format).blocks
        self.convs = nn.ModuleList(block.conv for block in blocks)
        self.norms = nn.ModuleList(block.norm for block in blocks)
        self.pooled = [block.pooled for block in blocks]
        self.maps = backbone.maps
        self.train(backbone.training)

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        for conv, norm, pooled in zip(self.convs, self.norms, self.pooled, strict=True):
            maps = F.relu(plain_norm(norm, conv(images), leading))
            images = F.max_pool2d(maps, 2) if pooled else maps
        return images if self.maps else images.flatten(1)


def plain_norm(norm: nn.BatchNorm2d, maps: Tensor, leading: int | None) -> Tensor:
    """Batch normalisation; with `leading` by the statistics of the first maps."""
    if leading is None:
        return nn.BatchNorm2d.forward(norm, maps)
    if leading == len(maps):
        return F.batch_norm(maps, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
    variance, mean = torch.var_mean(maps[:leading], dim=(0, 2, 3), correction=0)
    scale = norm.weight / (variance + norm.eps).sqrt()
    return maps * scale[:, None, None] + (norm.bias - mean * scale)[:, None, None]


def plain_relation(method: RelationNet, support: Tensor, query: Tensor) -> Tensor:
    """Relation scores `[Q, way]` of query maps `[Q, C, h, w]` and class maps `[way, C, h, w]`, pair by pair."""
    way, asked = len(support), len(query)
    pairs = torch.cat([support.repeat(asked, 1, 1, 1), query.repeat_interleave(way, 0)], dim=1)
    maps = F.max_pool2d(F.relu(plain_norm(method.first_norm, method.first(pairs), None)), 2)
    maps = F.interpolate(maps, method.between, mode="bilinear")  # as they are if they are of that size
    maps = F.max_pool2d(F.relu(plain_norm(method.second_norm, method.second(maps), None)), 2)
    scores: Tensor = method.score(F.relu(method.hidden(maps.flatten(1)))).sigmoid().view(asked, way)
    return scores


def plain_method(method: FeatureMethod) -> FeatureMethod:
    """A copy of a method whose backbone is the plain one."""
    plain = copy.deepcopy(method)
    plain.backbone = PlainConv4(method.backbone)
    return plain


def plain_finetune(
    support: Tensor, labels: Tensor, query: Tensor, way: int, *, steps: int, rate: float, **settings: float
) -> Tensor:
    """Logits `[Q, way]` of one episode's head, trained by `torch.optim.SGD` from features `[S, D]` and `[Q, D]`."""
    head = nn.Linear(support.shape[-1], way, dtype=support.dtype)
    for weight in head.parameters():
        nn.init.zeros_(weight)
    optimiser = torch.optim.SGD(head.parameters(), lr=rate, **settings)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(head(support), labels).backward()
        optimiser.step()
    logits: Tensor = head(query).detach()
    return logits


def plain_leo(method: LEO, support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """Logits `[Q, way]` of one episode from features `[S, D]` and `[Q, D]`, without noise, by autograd's gradients."""
    codes = [feature @ method.encoder for feature in support]

    def related(one: Tensor, other: Tensor) -> Tensor:
        pair = torch.cat([one, other]) @ method.relation[0]
        return (pair.relu() @ method.relation[1]).relu() @ method.relation[2]

    of_images = [torch.stack([related(one, other) for other in codes]).mean(0) for one in codes]
    latent = torch.stack(
        [torch.stack([of_images[i] for i in range(len(labels)) if labels[i] == c]).mean(0) for c in range(way)]
    )[:, : len(codes[0])]

    def loss(weights: Tensor) -> Tensor:
        return way * F.cross_entropy(support @ weights.T, labels)

    def decoded(codes: Tensor) -> Tensor:
        return (codes @ method.decoder)[:, : support.shape[1]]

    for _ in range(method.latent_steps):
        (slope,) = torch.autograd.grad(loss(decoded(latent)), latent, create_graph=True)
        latent = latent - method.latent_rate * slope
    weights = decoded(latent)
    for _ in range(method.weight_steps):
        (slope,) = torch.autograd.grad(loss(weights), weights, create_graph=True)
        weights = weights - method.weight_rate * slope
    return query @ weights.T


def plain_contrastive(features: Tensor, labels: Tensor, margin: float) -> float:
    """The contrastive loss of features `[N, D]`, pair by pair; either kind of pairs weighs one half."""
    similar, dissimilar = [], []
    for one, other in itertools.combinations(range(len(labels)), 2):
        distance = (features[one] - features[other]).norm().item()
        if labels[one] == labels[other]:
            similar.append(distance**2)
        else:
            dissimilar.append(max(0.0, margin - distance) ** 2)
    return (sum(similar) / len(similar) + sum(dissimilar) / len(dissimilar)) / 2


def plain_ridge(support: Tensor, labels: Tensor, query: Tensor, way: int, penalty: float) -> Tensor:
    """Values `[Q, way]` of one episode's ridge regressions, by the primal equations."""
    inputs, targets = support.numpy(), np.eye(way)[labels.numpy()]
    weights = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(inputs.shape[1]), inputs.T @ targets)
    return torch.from_numpy(query.numpy() @ weights)


def plain_svm(support: Tensor, labels: Tensor, query: Tensor, way: int, c: float) -> Tensor:
    """Values `[Q, way]` of one episode's machine, by SciPy's solver for any constrained problem."""
    inputs, targets = support.numpy(), np.eye(way)[labels.numpy()]
    kernel, shape = inputs @ inputs.T + np.eye(len(inputs)), targets.shape
    found = minimize(
        lambda flat: (
            0.5 * np.sum(flat.reshape(shape) * (kernel @ flat.reshape(shape))) - np.sum(flat * targets.ravel())
        ),
        np.zeros(targets.size),
        jac=lambda flat: (kernel @ flat.reshape(shape) - targets).ravel(),
        bounds=[(None, c * target) for target in targets.ravel()],
        constraints={"type": "eq", "fun": lambda flat: flat.reshape(shape).sum(1)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return torch.from_numpy(query.numpy() @ inputs.T @ found.x.reshape(shape))


class PlainNetwork(nn.Module):
    """Backbone and linear head as one module, normalised by the statistics of the first images of a batch."""

    def __init__(self, backbone: nn.Module, head: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.head, self.bias = nn.Parameter(head.detach().clone()), nn.Parameter(bias.detach().clone())

    def forward(self, images: Tensor, leading: int) -> Tensor:
        return F.linear(self.backbone(images, leading), self.head, self.bias)


def plain_inner_loop(
    method: GradientMethod, backbone: PlainConv4, task: Tasks, steps: int
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """One task, adapted by `higher`: query loss, adapted weights (head, bias, backbone), gradients of `backbone`.

    The gradient goes through the initial head too; of a method of second order it is through all inner steps.
    """
    import higher  # here, so that a machine without it runs what else needs this module

    support, query, labels = task.support[0], task.query[0], task.support_labels[0]
    head, bias = support.new_zeros(task.way, method.backbone.features), support.new_zeros(task.way)
    if isinstance(method, FirstOrderProtoMAML):
        features = backbone(support, len(support))
        centres = prototypes(features[None], labels[None], task.way)[0]
        head, bias = (part / method.temperature for part in (2 * centres, -centres.square().sum(-1)))
    network = PlainNetwork(backbone, head, bias)
    moving = [network.head, network.bias] if isinstance(method, ANIL) else network.parameters()
    optimiser = torch.optim.SGD(moving, lr=method.inner_rate)
    second = method.order == 2
    with higher.innerloop_ctx(network, optimiser, copy_initial_weights=not second, track_higher_grads=second) as (
        functional,
        inner,
    ):
        for _ in range(steps):
            inner.step(F.cross_entropy(functional(support, len(support)), labels))
        if method.transductive:
            logits = functional(query, len(query))
        else:
            logits = functional(torch.cat([support, query]), len(support))[len(support) :]
        loss = F.cross_entropy(logits, task.query_labels[0])
        weights = list(functional.parameters())
        of_head, of_bias, *gradients = torch.autograd.grad(loss, list(network.parameters()) if second else weights)
    if head.requires_grad:
        through_head = torch.autograd.grad([head, bias], list(backbone.parameters()), [of_head, of_bias])
        gradients = [direct + path for direct, path in zip(gradients, through_head, strict=True)]
    return loss.detach(), [weight.detach() for weight in weights], gradients
