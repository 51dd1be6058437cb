"""Backbones: from images to features, by name; their modules are imported only when one is used."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from fsbench.errors import SuiteError, UsageError
from fsbench.plugins import load_class, revision_of_class
from fsbench.text import fault_of_label

if TYPE_CHECKING:
    from fsbench.backbones.base import Backbone

__all__ = ["BACKBONES", "backbone_revision", "build_backbone", "load_backbone"]

BACKBONES: Final = {
    "conv4": "fsbench.backbones.conv4:Conv4",
    "resnet12": "fsbench.backbones.resnet12:ResNet12",
    "resnet18": "fsbench.backbones.resnet:ResNet18",
    "wrn": "fsbench.backbones.wrn:WideResNet",
}


def load_backbone(name: str, beside: Path | None = None) -> type[Backbone]:
    """The class of a backbone.

    Args:
        name: A name of `BACKBONES`, one registered under the entry point group "fsbench.backbones", or
            "path/to/file.py:Class".
        beside: The folder in which a relative path is looked for before the working folder.

    Raises:
        UsageError: There is no such backbone, or it cannot be loaded.
    """
    return cast("type[Backbone]", load_class("backbone", name, BACKBONES, "fsbench.backbones.base:Backbone", beside))


def build_backbone(
    name: str,
    *,
    channels: int,
    size: int,
    width: int,
    norm_scale: Literal["ones", "uniform"] = "ones",
    maps: bool = False,
    options: Mapping[str, object] | None = None,
    beside: Path | None = None,
) -> Backbone:
    """A new backbone with fresh weights.

    Args:
        name: As in `load_backbone`.
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of the first convolution, usually 64. Those of Conv4 all have as many; those of
            ResNet-18 up to 8 times as many, those of ResNet-12 up to 10 times. Of a WRN, those of the first group.
        norm_scale: Initial weights of batch normalisation: ones, or uniform between 0 and 1.
        maps: Whether its features stay maps.
        options: What it takes beside these, by name.
        beside: As in `load_backbone`.

    Raises:
        UsageError: There is no such backbone, it cannot be loaded, or it does not say what every backbone does.
        SuiteError: It leaves nothing of such images, or has no such option or width.
    """
    arguments: dict[str, Any] = {"channels": channels, "size": size, "width": width, "maps": maps}
    found = load_backbone(name, beside)
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"the backbone {name!r} does not take {', '.join(arguments)} by keyword ({error}); give its constructor "
            "these and no others without a default."
        ) from None
    taken = inspect.signature(found).parameters
    if unknown_options := [option for option in options or {} if option not in taken]:
        raise SuiteError(f"the backbone {name!r} takes no {unknown_options[0]}; leave it out of the suite.")
    backbone = found(**arguments, **(options or {}))
    if lacking := [attribute for attribute in ("label", "shape", "features") if not hasattr(backbone, attribute)]:
        raise UsageError(f"the backbone {name!r} has no {lacking[0]}; set it in its constructor.")
    if fault := fault_of_label(backbone.label):
        raise UsageError(f"the label of the backbone {name!r} {fault}; set another in its constructor.")
    if norm_scale == "uniform":
        from torch import nn

        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight)
    return backbone


def backbone_revision(name: str, beside: Path | None = None) -> int | str:
    """What tells a backbone from its earlier versions: its revision, and outside fsbench the hash of its code too.

    Args:
        name: As in `load_backbone`.
        beside: As in `load_backbone`.

    Raises:
        UsageError: There is no such backbone, or it cannot be loaded.
    """
    found = load_backbone(name, beside)
    return revision_of_class(name, found, found.revision, BACKBONES)
