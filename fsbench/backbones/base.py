"""What every backbone offers to methods."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

__all__ = ["Backbone", "MakeBackbone"]


class Backbone(nn.Module):
    """A network from images to features.

    Attributes:
        shape: Of the feature maps of one image, `(C, h, w)`.
        features: Their number, `C * h * w`.
    """

    shape: tuple[int, int, int]
    features: int

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`: vectors `[N, features]`, or maps `[N, *shape]` if it was built for maps.

        `leading` chooses the statistics of batch normalisation, as in `fsbench.backbones.norm.BatchNorm2d`. If it
        is given, the images of G tasks may lie side by side, `[N, G * C, H, W]`, for weights of G networks stacked
        along their first dimension; the features are then `[N, G * features]`.
        """
        raise NotImplementedError


class MakeBackbone(Protocol):
    """What a method is given to build its backbone with."""

    def __call__(self, *, maps: bool = False) -> Backbone:
        """A new backbone with fresh weights; with `maps` its features stay maps."""
