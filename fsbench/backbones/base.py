"""What every backbone offers to methods."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.errors import SuiteError

__all__ = ["Backbone", "MakeBackbone", "enlarged"]


class Backbone(nn.Module):
    """A network from images to features.

    A subclass takes `channels`, `size` and `width` of `fsbench.backbones.registry.build_backbone` and `maps` as
    keyword-only arguments, and what else it can do with a default. It is built for one size of images and takes
    smaller ones too, so that a training may begin at a low resolution: its vectors keep their length, its maps are as
    small as they become.

    Attributes:
        revision: Raised when the same weights would give other features, or the same seed other weights.
        label: Its name in tables, with its width.
        shape: Of the feature maps of one image of the size that it was built for, `(C, h, w)`.
        features: Their number, `C * h * w`.
        noisy: Whether it draws from torch's generators in training mode, for dropout of any kind.
        twice: Whether it is differentiated twice just now (`fsbench.backbones.norm.differentiated_twice`).
    """

    revision: ClassVar[int] = 1
    noisy: bool = False
    twice: bool = False
    label: str
    shape: tuple[int, int, int]
    features: int

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`: vectors `[N, features]`, or maps `[N, *shape]` if it was built for maps.

        Maps of images that are smaller than it was built for have a smaller height and width.

        `leading` chooses the statistics of batch normalisation, as in `fsbench.backbones.norm.BatchNorm2d`. If it
        is given, the images of G tasks may lie side by side, `[N, G * C, H, W]`, for weights of G networks stacked
        along their first dimension; the features are then `[N, G * features]`.

        Raises:
            SuiteError: The images are too small, or larger than it was built for.
        """
        raise NotImplementedError


class MakeBackbone(Protocol):
    """What a method is given to build its backbone with."""

    def __call__(self, *, maps: bool = False) -> Backbone:
        """A new backbone with fresh weights; with `maps` its features stay maps."""


def enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps `[N, C, h, w]` enlarged bilinearly to `[N, C, height, width]`, or themselves if they are of that size.

    Raises:
        SuiteError: The maps are larger.
    """
    if maps.shape[-2:] == (height, width):
        return maps
    if maps.shape[-2] > height or maps.shape[-1] > width:
        raise SuiteError(
            f"maps of {maps.shape[-2]}x{maps.shape[-1]} come where the model was built for {height}x{width}; give it "
            "no larger images than images.size in the suite."
        )
    return F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)
