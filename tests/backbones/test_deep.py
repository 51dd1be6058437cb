"""ResNet-12 and WRN beside plain forms of themselves: weights, features, costs, and tasks side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from fsbench.backbones.base import Backbone, enlarged
from fsbench.backbones.norm import BatchNorm2d
from fsbench.backbones.registry import build_backbone
from fsbench.errors import SuiteError
from helpers.plain import plain_norm

close = {"rtol": 1e-9, "atol": 1e-11}
SIZE = 20
SMALL: dict[str, dict[str, Any]] = {"resnet12": {"width": 4}, "wrn": {"width": 8, "options": {"depth": 16}}}
both = pytest.mark.parametrize("name", SMALL)


def make(name: str, *, size: int = SIZE, maps: bool = False, **options: object) -> Backbone:
    """In float64, with scales, shifts and statistics of which none is its initial one."""
    torch.manual_seed(0)
    given = SMALL[name] | {"options": SMALL[name].get("options", {}) | options}
    backbone = build_backbone(name, channels=3, size=size, maps=maps, **given).double()
    for module in backbone.modules():
        if isinstance(module, BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.uniform_(module.bias, -1, 1)
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return backbone


def pictures(count: int, size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "width", "options", "label", "weights", "gmac", "shape"),
    [
        ("resnet12", 64, {}, "ResNet-12", 12_424_320, 3.51, (640, 5, 5)),
        ("resnet12", 16, {}, "ResNet-12 (width 16)", 778_656, 0.22, (160, 5, 5)),
        ("wrn", 160, {}, "WRN-28-10", 36_472_784, 36.1, (640, 21, 21)),
        ("wrn", 16, {"depth": 10}, "WRN-10-1", 77_200, 0.086, (64, 21, 21)),
    ],
)
def test_weights_costs_and_maps_at_84_pixels(
    name: str, width: int, options: dict[str, int], label: str, weights: int, gmac: float, shape: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, channels=3, size=84, width=width, maps=True, options=options)
        images = torch.empty(1, 3, 84, 84)
    counter = FlopCounterMode(display=False)
    with counter:
        maps = backbone.train()(images)
    assert backbone.label == label
    assert sum(weight.numel() for weight in backbone.parameters()) == weights
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.006 if gmac < 10 else 0.06)
    assert maps.shape[1:] == backbone.shape == shape


@both
def test_the_features_are_the_means_of_the_maps(name: str) -> None:
    for size in (28, 84):
        images, backbone = pictures(2, size), make(name, size=size)
        maps = make(name, size=size, maps=True)
        assert maps(images).shape[1:] == maps.shape
        torch.testing.assert_close(backbone(images), maps(images).mean((2, 3)), **close)
        assert backbone.features == backbone(images).shape[1] == backbone.shape[0]


def test_without_pooling_the_features_are_the_whole_maps() -> None:
    """Of the size that it was built for; those of smaller images are enlarged to as many."""
    images, backbone = pictures(2, 84), make("resnet12", size=84, avg_pool=False)
    assert (backbone.label, backbone.shape, backbone.features) == ("ResNet-12 (width 4, no pooling)", (40, 5, 5), 1000)
    whole = make("resnet12", size=84, maps=True)(images)
    torch.testing.assert_close(backbone(images), whole.flatten(1), **close)
    small = make("resnet12", size=84, maps=True)(images[..., :48, :48])
    assert small.shape[-2:] == (3, 3)
    torch.testing.assert_close(backbone(images[..., :48, :48]), enlarged(small, 5, 5).flatten(1), **close)


def plain_resnet12(backbone: Any, images: Tensor, leading: int | None) -> Tensor:
    """ReLU before pooling, nothing folded."""

    def layer(part: Any, maps: Tensor) -> Tensor:
        return plain_norm(part.norm, part.conv(maps), leading)

    for block in backbone.blocks:
        maps = F.leaky_relu(layer(block.first, images), 0.1)
        maps = layer(block.third, F.leaky_relu(layer(block.second, maps), 0.1))
        images = F.max_pool2d(F.leaky_relu(maps + layer(block.shortcut, images), 0.1), 2)
    return images.mean((2, 3))


def plain_wrn(backbone: Any, images: Tensor, leading: int | None) -> Tensor:
    """The same, with two blocks in each of its three groups."""
    maps = backbone.stem(images)
    for number, block in enumerate(backbone.blocks):
        active = F.relu(plain_norm(block.norm, maps, leading))
        inner = block.second(F.relu(plain_norm(block.first.norm, block.first.conv(active), leading)))
        maps = inner + (maps if number % 2 else block.shortcut(active))
    return F.relu(plain_norm(backbone.norm, maps, leading)).mean((2, 3))


@both
@pytest.mark.parametrize(("training", "leading"), [(False, None), (True, None), (True, 3), (False, 4)])
def test_it_is_the_plain_network(name: str, training: bool, leading: int | None) -> None:
    backbone, images = make(name).train(training), pictures(4)
    plain = {"resnet12": plain_resnet12, "wrn": plain_wrn}[name]
    gradients = []
    for features in (backbone(images, leading), plain(backbone, images, leading)):
        weighted = features * torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)
        gradients.append([features, *torch.autograd.grad(weighted.sum(), list(backbone.parameters()))])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("name", "options"), [("resnet12", {}), ("resnet12", {"avg_pool": False}), ("wrn", {})])
@pytest.mark.parametrize("leading", [3, 5])
def test_networks_side_by_side_are_as_one_at_a_time(name: str, options: dict[str, bool], leading: int) -> None:
    backbone = make(name, size=32, **options)
    each = [
        {key: weight.detach() + 0.1 * torch.rand_like(weight) for key, weight in backbone.named_parameters()}
        for _ in range(2)
    ]
    stacked = {key: torch.cat([weights[key] for weights in each]) for key in each[0]}
    images = pictures(10, 32).view(5, 2, 3, 32, 32)  # image, task, channel
    together = functional_call(backbone, stacked, (images.flatten(1, 2), leading))
    alone = [functional_call(backbone, weights, (images[:, task], leading)) for task, weights in enumerate(each)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), **close)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("resnet12", {"width": 5}, "width of a ResNet-12 is 5; give an even one"),
        ("resnet12", {"size": 15}, "leaves nothing of images of 15x15 pixels; they need 16"),
        ("resnet12", {"options": {"depth": 12}}, "the backbone 'resnet12' takes no depth; leave it out of the suite"),
        ("wrn", {"options": {"depth": 27}}, "a WRN of depth 27 does not exist; its depth is 10, 16, 22, 28"),
        ("conv4", {"options": {"drop_rate": 0.1}}, "the backbone 'conv4' takes no drop_rate"),
    ],
)
def test_what_a_backbone_cannot_be_is_one_sentence(name: str, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SuiteError, match=sentence):
        build_backbone(name, **({"channels": 3, "size": 28, "width": 8} | changes))
