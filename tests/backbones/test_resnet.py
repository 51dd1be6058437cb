"""ResNet-18 beside torchvision's with the same weights, and beneath every method."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models import resnet18

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import BatchNorm2d
from fsbench.backbones.registry import build_backbone
from fsbench.errors import SuiteError
from fsbench.methods.base import Method
from fsbench.methods.gradient import GradientMethod
from fsbench.methods.registry import load_method
from fsbench.tasks import Batch, Tasks
from helpers.plain import plain_norm
from helpers.small import NAMES, PARAMS

close = {"rtol": 1e-9, "atol": 1e-11}
SIZE = 40  # last maps of 2x2
RELATION_SIZE = 126  # last maps of 4x4


class LeadingNorm(nn.BatchNorm2d):
    """The plain form of our normalisation; all layers of a network have their `leading` set before it is called."""

    leading: int | None = None

    def forward(self, maps: Tensor) -> Tensor:
        return plain_norm(self, maps, self.leading)


class Torchvision(nn.Module):
    """torchvision's ResNet-18 without its last layer, with a copy of the weights and statistics of ours."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.network = resnet18(weights=None, norm_layer=LeadingNorm)
        self.network.fc = nn.Identity()
        values = backbone.state_dict().values()  # in the same order, by other names
        self.network.double().load_state_dict(dict(zip(self.network.state_dict(), values, strict=True)))

    def forward(self, images: Tensor, leading: int | None) -> Tensor:
        for module in self.modules():
            if isinstance(module, LeadingNorm):
                module.leading = leading
        features: Tensor = self.network(images)
        return features


def make(*, width: int = 8, size: int = SIZE, maps: bool = False) -> Backbone:
    """In float64, with scales, shifts and statistics of which none is its initial one."""
    torch.manual_seed(0)
    backbone = build_backbone("resnet18", channels=3, size=size, width=width, maps=maps).double()
    for module in backbone.modules():
        if isinstance(module, BatchNorm2d):
            nn.init.uniform_(module.weight, -1, 1)
            nn.init.uniform_(module.bias, -1, 1)
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return backbone


def pictures(count: int, channels: int = 3, size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, size, size, generator=generator, dtype=torch.float64)


def gradients(network: nn.Module, images: Tensor, leading: int | None) -> tuple[Tensor, list[Tensor]]:
    """Features, and the gradients of a sum of them with different weights."""
    features = network(images, leading)
    total = (features * torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)).sum()
    return features.detach(), list(torch.autograd.grad(total, list(network.parameters())))


@pytest.mark.slow
@pytest.mark.parametrize(("training", "leading"), [(False, None), (True, None), (True, 3), (False, 4)])
def test_it_is_the_resnet18_of_torchvision(training: bool, leading: int | None) -> None:
    backbone = make(width=64).train(training)
    theirs = Torchvision(backbone).train(training)
    features, slopes = gradients(backbone, pictures(4), leading)
    expected, expected_slopes = gradients(theirs, pictures(4), leading)
    torch.testing.assert_close(features, expected, **close)
    for slope, expected_slope in zip(slopes, expected_slopes, strict=True):
        torch.testing.assert_close(slope, expected_slope, rtol=1e-7, atol=1e-9 * expected_slope.abs().max().item())
    for value, other in zip(backbone.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, **close)  # the running statistics moved alike, or not at all


def test_its_weights_are_as_many_and_as_large_as_those_of_torchvision() -> None:
    torch.manual_seed(0)
    ours = build_backbone("resnet18", channels=3, size=84, width=64)
    theirs = resnet18(weights=None)
    theirs.fc = nn.Identity()
    assert sum(weight.numel() for weight in ours.parameters()) == 11_176_512
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert weight.shape == other.shape
        torch.testing.assert_close(weight.square().mean(), other.square().mean(), rtol=0.1, atol=0)


@pytest.mark.parametrize(
    ("size", "maps", "shape"),
    [
        (84, False, (64, 1, 1)),
        (32, True, (64, 1, 1)),
        (33, True, (64, 2, 2)),
        (84, True, (64, 3, 3)),
        (96, True, (64, 3, 3)),
        (97, True, (64, 4, 4)),
        (126, True, (64, 4, 4)),
    ],
)
def test_the_shape_of_its_features(size: int, maps: bool, shape: tuple[int, int, int]) -> None:
    backbone = make(size=size, maps=maps)
    assert backbone.shape == shape
    features = backbone(pictures(2, size=size))
    assert features.shape == ((2, *shape) if maps else (2, backbone.features))
    assert backbone.features == features[0].numel()


def test_the_features_are_the_means_of_the_maps() -> None:
    images = pictures(3)
    torch.testing.assert_close(make()(images), make(maps=True)(images).mean((2, 3)), **close)


def test_its_name_in_tables() -> None:
    assert [make(width=width).label for width in (64, 8)] == ["ResNet-18", "ResNet-18 (width 8)"]


@pytest.mark.parametrize("maps", [False, True], ids=["vectors", "maps"])
@pytest.mark.parametrize("leading", [3, 5])
def test_networks_side_by_side_are_as_one_at_a_time(maps: bool, leading: int) -> None:
    backbone = make(maps=maps)
    each = [
        {name: weight.detach() + 0.1 * torch.randn_like(weight) for name, weight in backbone.named_parameters()}
        for _ in range(3)
    ]
    stacked = {name: torch.cat([weights[name] for weights in each]) for name in each[0]}
    images = pictures(15).view(5, 3, 3, SIZE, SIZE)  # image, task, channel
    together = functional_call(backbone, stacked, (images.flatten(1, 2), leading))
    alone = [functional_call(backbone, weights, (images[:, task], leading)) for task, weights in enumerate(each)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), **close)


@pytest.mark.parametrize("leading", [None, 2, 4])
@pytest.mark.parametrize("training", [False, True])
def test_the_layout_in_memory_does_not_matter(training: bool, leading: int | None) -> None:
    backbone, images = make().train(training), pictures(4)
    expected = backbone(images, leading)
    backbone, images = (thing.to(memory_format=torch.channels_last) for thing in (backbone, images))
    torch.testing.assert_close(backbone(images, leading), expected, **close)


def method_of(name: str, size: int) -> Method:
    torch.manual_seed(0)
    make_backbone = functools.partial(build_backbone, "resnet18", channels=1, size=size, width=8)
    return load_method(name)(make_backbone, 3, **PARAMS[name])


def tasks_of(size: int, batch: int = 2) -> Tasks:
    """3-way tasks, two images of every class in support and query."""
    support, query = pictures(12 * batch, channels=1, size=size).view(2, batch, 6, 1, size, size)
    labels = torch.arange(3).repeat_interleave(2).repeat(batch, 1)
    return Tasks(support, labels, query, labels, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_method_learns_with_it(name: str) -> None:
    size = RELATION_SIZE if name.startswith("relation") else SIZE
    method, tasks = method_of(name, size).double(), tasks_of(size)
    batch = Batch(tasks.support.flatten(0, 1), tasks.support_labels.flatten())
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        optimiser.zero_grad()
        loss = method.loss(tasks if method.learns_from == "episodes" else batch)
        loss.backward()
        assert all(weight.grad is not None and weight.grad.any() for weight in method.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    logits = method.eval().predict(tasks)
    assert logits.shape == (2, 6, 3)
    assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fomaml", "fomaml-transductive", "foprotomaml"])
def test_adapting_tasks_side_by_side_is_as_one_at_a_time(name: str) -> None:
    method, tasks = method_of(name, SIZE).double(), tasks_of(SIZE, batch=3)
    assert isinstance(method, GradientMethod)
    alone = [method.predict(tasks[index : index + 1]) for index in range(3)]
    torch.testing.assert_close(method.predict(tasks), torch.cat(alone), rtol=1e-7, atol=1e-9)


def test_maps_too_small_for_relationnet_are_named() -> None:
    with pytest.raises(SuiteError, match=r"RelationNet pools maps of 3x3 twice.*raise images\.size"):
        method_of("relation", 84)
