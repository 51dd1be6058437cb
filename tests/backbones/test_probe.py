"""What somebody's backbone must keep: fsbench's own keep it, and every breach is named."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import BatchNorm2d, conv_norm_pool
from fsbench.backbones.probe import check_backbone
from fsbench.backbones.registry import BACKBONES, build_backbone
from fsbench.errors import SuiteError


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BACKBONES))
def test_those_of_fsbench_keep_it(name: str) -> None:
    for maps, seed in itertools.product((False, True), range(5)):  # of one in two, float32 rounds too much to tell
        torch.manual_seed(seed)
        backbone = build_backbone(name, channels=3, size=32, width=4, maps=maps)
        check_backbone(backbone, channels=3, size=32, adapts=not maps)
        assert backbone.training


class Mine(Backbone):
    """As docs/add-a-backbone.md has it."""

    def __init__(self) -> None:
        super().__init__()
        self.label, self.shape, self.features = "Mine", (4, 1, 1), 4
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm: nn.Module = BatchNorm2d(4)

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        assert isinstance(self.norm, BatchNorm2d)
        return conv_norm_pool(self.conv, self.norm, images, leading, pooled=False).relu().mean((2, 3))


class Wide(Mine):
    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        return super().forward(images, leading).repeat(1, 2)


class Centred(Mine):
    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        features = super().forward(images, leading)
        return features - features.mean(0)


class Deaf(Mine):
    """Statistics of all images, however many lead."""

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        return super().forward(images, None if leading is None else len(images))


class Alone(Mine):
    """A plain convolution knows no tasks side by side."""

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        features: Tensor = self.norm(self.conv(images), leading).relu().mean((2, 3))
        return features


class Single(Mine):
    """It makes float32 of everything, which its weights then are not."""

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        return super().forward(images.float(), leading)


def test_the_example_of_the_docs_keeps_it() -> None:
    check_backbone(Mine(), channels=3, size=16, adapts=True)


@pytest.mark.parametrize(
    ("kind", "sentence", "adapts"),
    [
        (
            Wide,
            r"Mine makes \[4, 8\] of 4 images; by its features and shape it must be \[4, 4\], or \[4, 4, 1, 1\]",
            False,
        ),
        (Centred, "of an image depend on the images beside it, also in evaluation mode", False),
        (Single, r"fails on images \[4, 3, 16, 16\] of float64, .*; let it compute in the type of its images", False),
        (Deaf, "with leading=2 the features .* depend on the images after these", True),
        (Alone, "does not take the images of two tasks side by side", True),
    ],
)
def test_every_breach_is_named(kind: type[Mine], sentence: str, adapts: bool) -> None:
    torch.manual_seed(0)
    with pytest.raises(SuiteError, match=sentence):
        check_backbone(kind(), channels=3, size=16, adapts=True)
    if adapts:  # and is none for others
        check_backbone(kind(), channels=3, size=16, adapts=False)
