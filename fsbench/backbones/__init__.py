"""Backbones: from images to features, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsbench.errors import unknown

if TYPE_CHECKING:
    from fsbench.backbones.base import Backbone

__all__ = ["BACKBONES", "backbone_label", "build_backbone"]

BACKBONES = ("conv4",)


def build_backbone(name: str, *, channels: int, size: int, width: int, maps: bool = False) -> Backbone:
    """A new backbone with fresh weights; with `maps` its features stay maps.

    Raises:
        UsageError: There is no backbone of this name.
    """
    if name == "conv4":
        from fsbench.backbones.conv4 import Conv4

        return Conv4(channels=channels, size=size, width=width, maps=maps)
    raise unknown("backbone", name, BACKBONES)


def backbone_label(name: str, width: int) -> str:
    """The name of a backbone in tables, e.g. "Conv4-64"."""
    return f"{name.capitalize()}-{width}"
