from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import BatchNorm2d, conv_norm_pool
from fsbench.backbones.registry import build_backbone
from fsbench.errors import SuiteError, UsageError
from helpers.plain import PlainConv4

close = {"rtol": 1e-9, "atol": 1e-11}


def test_conv4_64_has_the_parameters_of_the_field() -> None:
    backbone = build_backbone("conv4", channels=3, size=84, width=64)
    assert sum(weight.numel() for weight in backbone.parameters()) == 113_088
    assert backbone.label == "Conv4-64"


@pytest.mark.parametrize(
    ("size", "maps", "shape"),
    [(28, False, (64, 1, 1)), (84, False, (64, 5, 5)), (28, True, (64, 5, 5)), (84, True, (64, 19, 19))],
)
def test_the_shape_of_its_features(size: int, maps: bool, shape: tuple[int, int, int]) -> None:
    backbone = build_backbone("conv4", channels=1, size=size, width=64, maps=maps)
    assert backbone.shape == shape
    features = backbone(torch.rand(2, 1, size, size))
    assert features.shape == ((2, *shape) if maps else (2, backbone.features))


@pytest.mark.parametrize("bf16", [False, True])
def test_maps_of_one_channel_are_channels_last_after_a_step_too(bf16: bool) -> None:
    conv = nn.Conv2d(1, 8, 3, padding=1).to(memory_format=torch.channels_last)
    conv.weight = nn.Parameter(conv.weight - 0.1 * torch.rand(8, 1, 3, 3))  # whose layout is that of the gradient
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        maps = conv_norm_pool(conv, BatchNorm2d(8), torch.rand(2, 1, 8, 8), pooled=False)
    assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture(params=[False, True], ids=["vectors", "maps"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """In float64, with weights and statistics of which none is its initial one or zero."""
    backbone = build_backbone("conv4", channels=3, size=28, width=8, maps=request.param).double()
    for module in backbone.modules():
        if isinstance(module, BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                torch.nn.init.uniform_(tensor, -1, 1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return backbone


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("leading", [None, 2, 4])
def test_it_is_the_published_network(backbone: Backbone, training: bool, leading: int | None) -> None:
    plain = PlainConv4(backbone.train(training)).train(training)
    images = torch.rand(4, 3, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(backbone(images, leading), plain(images, leading), **close)
    ours, theirs = gradients(backbone, images, leading), gradients(plain, images, leading)
    for name, gradient in ours.items():
        _, block, layer, kind = name.split(".")
        torch.testing.assert_close(gradient, theirs[f"{layer}s.{block}.{kind}"], **close)


def gradients(network: nn.Module, images: torch.Tensor, leading: int | None) -> dict[str, torch.Tensor]:
    """Of a sum of all features with different weights, for every weight of the network."""
    features = network(images, leading)
    total = (features * torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)).sum()
    parameters = dict(network.named_parameters())
    return dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))


def test_in_evaluation_it_normalises_by_the_running_statistics_of_the_moment(backbone: Backbone) -> None:
    images = torch.rand(4, 3, 28, 28, dtype=torch.float64)
    before = backbone.eval()(images)
    backbone.train()(images)  # moves the running statistics
    after = backbone.eval()(images)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, PlainConv4(backbone)(images), **close)


@pytest.mark.parametrize("leading", [None, 2])
def test_the_last_maps_of_smaller_images_are_enlarged(leading: int | None) -> None:
    backbone = build_backbone("conv4", channels=3, size=84, width=8).double()
    plain, images = PlainConv4(backbone), torch.rand(4, 3, 48, 48, dtype=torch.float64)
    plain.maps = True
    maps = plain(images, leading)
    assert maps.shape == (4, 8, 3, 3)
    expected = F.interpolate(maps, (5, 5), mode="bilinear").flatten(1)
    torch.testing.assert_close(backbone(images, leading), expected, **close)


def test_so_are_those_of_tasks_side_by_side() -> None:
    backbone = build_backbone("conv4", channels=3, size=48, width=8).double()
    each = [
        {name: weight.detach() + 0.1 * torch.randn_like(weight) for name, weight in backbone.named_parameters()}
        for _ in range(3)
    ]
    stacked = {name: torch.cat([weights[name] for weights in each]) for name in each[0]}
    images = torch.rand(5, 3, 3, 32, 32, dtype=torch.float64)  # image, task, channel
    together = functional_call(backbone, stacked, (images.flatten(1, 2), 2))
    alone = [functional_call(backbone, weights, (images[:, task], 2)) for task, weights in enumerate(each)]
    torch.testing.assert_close(together.view(5, 3, -1), torch.stack(alone, dim=1), **close)


def test_images_of_the_built_size_are_not_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "interpolate", None)
    assert build_backbone("conv4", channels=1, size=48, width=8)(torch.rand(2, 1, 48, 48)).shape == (2, 72)


def test_maps_of_smaller_images_stay_small() -> None:
    backbone = build_backbone("conv4", channels=1, size=84, width=8, maps=True)
    assert backbone(torch.rand(2, 1, 48, 48)).shape == (2, 8, 10, 10)


@pytest.mark.parametrize(("maps", "size"), [(False, 15), (True, 9)])
def test_images_of_which_nothing_is_left_are_refused(maps: bool, size: int) -> None:
    with pytest.raises(SuiteError, match=f"leaves nothing of images of {size}x{size} pixels; they need {size + 1}"):
        build_backbone("conv4", channels=1, size=size, width=8, maps=maps)
    backbone = build_backbone("conv4", channels=1, size=size + 1, width=8, maps=maps)
    assert backbone.shape == (8, 1, 1)
    with pytest.raises(SuiteError, match=f"leaves nothing of images of {size}x{size} pixels"):
        backbone(torch.rand(2, 1, size, size))


def test_larger_images_than_it_was_built_for_are_refused() -> None:
    with pytest.raises(SuiteError, match="maps of 5x5 come where the model was built for 3x3"):
        build_backbone("conv4", channels=1, size=48, width=8)(torch.rand(2, 1, 84, 84))


@pytest.mark.parametrize("name", ["conv4", "resnet18"])
def test_the_scales_of_its_normalisation_may_start_between_0_and_1(name: str) -> None:
    made = []
    for norm_scale in ("ones", "uniform"):
        torch.manual_seed(0)
        made.append(build_backbone(name, channels=1, size=28, width=8, norm_scale=norm_scale))
    for (key, ones), uniform in zip(made[0].named_parameters(), made[1].parameters(), strict=True):
        if "norm.weight" in key:
            assert ones.eq(1).all()
            assert ((uniform >= 0) & (uniform < 1)).all()
            assert uniform.std() > 0.1
        else:
            assert torch.equal(ones, uniform)


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(UsageError, match="unknown backbone 'conv5'; did you mean 'conv4'"):
        build_backbone("conv5", channels=1, size=28, width=64)


@pytest.fixture
def norm() -> BatchNorm2d:
    norm = BatchNorm2d(3).double()
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    return norm


@pytest.mark.parametrize("leading", [2, 5])
def test_the_leading_images_normalise_all(norm: BatchNorm2d, leading: int) -> None:
    images = torch.rand(5, 3, 4, 4, dtype=torch.float64)
    some = images[:leading]
    mean, variance = some.mean((0, 2, 3), keepdim=True), some.var((0, 2, 3), keepdim=True, unbiased=False)
    standard = (images - mean) / (variance + norm.eps).sqrt()
    expected = standard * norm.weight[:, None, None] + norm.bias[:, None, None]
    before = norm.running_mean.clone()
    for mode in (True, False):
        torch.testing.assert_close(norm.train(mode)(images, leading), expected)
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("leading", [2, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_pass_through_the_statistics(norm: BatchNorm2d, leading: int, layout: torch.memory_format) -> None:
    images = torch.rand(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm(x.contiguous(memory_format=layout), leading), images)
    assert torch.autograd.gradgradcheck(lambda x: norm(x.contiguous(memory_format=layout), leading), images)
