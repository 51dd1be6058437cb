from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fsbench.backbones import backbone_label, build_backbone
from fsbench.backbones.norm import BatchNorm2d
from fsbench.errors import UsageError


def test_conv4_64_has_the_parameters_of_the_field() -> None:
    backbone = build_backbone("conv4", channels=3, size=84, width=64)
    assert sum(weight.numel() for weight in backbone.parameters()) == 113_088
    assert backbone_label("conv4", 64) == "Conv4-64"


@pytest.mark.parametrize(
    ("size", "maps", "shape"),
    [(28, False, (64, 1, 1)), (84, False, (64, 5, 5)), (28, True, (64, 5, 5)), (84, True, (64, 19, 19))],
)
def test_the_shape_of_its_features(size: int, maps: bool, shape: tuple[int, int, int]) -> None:
    backbone = build_backbone("conv4", channels=1, size=size, width=64, maps=maps)
    assert backbone.shape == shape
    features = backbone(torch.rand(2, 1, size, size))
    assert features.shape == ((2, *shape) if maps else (2, backbone.features))


def test_pooling_before_the_relu_is_the_published_block() -> None:
    backbone = build_backbone("conv4", channels=1, size=28, width=8).double().eval()
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    torch.nn.init.uniform_(backbone.blocks[1].norm.weight, -1, 1)
    expected = images
    for block in backbone.blocks:
        expected = F.max_pool2d(F.relu(block.norm(block.conv(expected))), 2)
    torch.testing.assert_close(backbone(images), expected.flatten(1))


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
def test_gradients_pass_through_the_statistics(norm: BatchNorm2d, leading: int) -> None:
    images = torch.rand(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm(x, leading), images)
