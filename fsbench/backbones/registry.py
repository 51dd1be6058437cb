"""Backbones: from images to features, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fsbench.errors import unknown

if TYPE_CHECKING:
    from fsbench.backbones.base import Backbone

__all__ = ["BACKBONES", "backbone_label", "backbone_revision", "build_backbone"]

BACKBONES = ("conv4", "resnet18")


def build_backbone(
    name: str,
    *,
    channels: int,
    size: int,
    width: int,
    norm_scale: Literal["ones", "uniform"] = "ones",
    maps: bool = False,
) -> Backbone:
    """A new backbone with fresh weights.

    Args:
        name: One of `BACKBONES`.
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of the first convolution, usually 64. Those of Conv4 all have as many; those of
            ResNet-18 up to 8 times as many.
        norm_scale: Initial weights of batch normalisation: ones, or uniform between 0 and 1.
        maps: Whether its features stay maps.

    Raises:
        UsageError: There is no backbone of this name.
        SuiteError: It leaves nothing of such images.
    """
    backbone: Backbone
    if name == "conv4":
        from fsbench.backbones.conv4 import Conv4

        backbone = Conv4(channels=channels, size=size, width=width, maps=maps)
    elif name == "resnet18":
        from fsbench.backbones.resnet import ResNet18

        backbone = ResNet18(channels=channels, size=size, width=width, maps=maps)
    else:
        raise unknown("backbone", name, BACKBONES)
    if norm_scale == "uniform":
        from torch import nn

        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight)
    return backbone


def backbone_revision(name: str) -> int:
    """What tells a backbone from its earlier versions.

    Raises:
        UsageError: There is no backbone of this name.
    """
    if name == "conv4":
        from fsbench.backbones.conv4 import Conv4

        return Conv4.revision
    if name == "resnet18":
        from fsbench.backbones.resnet import ResNet18

        return ResNet18.revision
    raise unknown("backbone", name, BACKBONES)


def backbone_label(name: str, width: int) -> str:
    """The name of a backbone in tables: "Conv4-64"; "ResNet-18", which says its width only if that is not 64."""
    if name == "resnet18":
        return "ResNet-18" if width == 64 else f"ResNet-18 (width {width})"
    return f"{name.capitalize()}-{width}"
