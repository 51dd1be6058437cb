"""Models: a method on a backbone, with initial weights or with those from elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch

from fsbench.backbones.base import Backbone
from fsbench.backbones.pretrained import FrozenBackbone
from fsbench.backbones.registry import build_backbone
from fsbench.backbones.specification import BackboneSpec
from fsbench.errors import SuiteError
from fsbench.methods.base import Method
from fsbench.suite import Suite

__all__ = ["build_frozen", "build_model"]


def build_model(
    suite: Suite,
    backbone: BackboneSpec,
    method: type[Method],
    params: Mapping[str, object],
    *,
    classes: int,
    seed: int,
    device: torch.device,
) -> Method:
    """A model with its initial weights, on a device; no other random state is touched.

    Args:
        suite: Says the images.
        backbone: That of its row.
        method: Its class.
        params: Its hyper-parameters.
        classes: Training classes, of all sources together.
        seed: Of the weights.
        device: Where it will compute.

    Raises:
        SuiteError: The method cannot use such a backbone or such images.
    """
    make_backbone = functools.partial(
        build_backbone,
        backbone.name,
        channels=suite.images.channels,
        size=suite.images.size,
        width=backbone.width,
        norm_scale=backbone.norm_scale,
        options=backbone.options,
        beside=suite.folder,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # that of `torch.manual_seed` would reach every GPU
        model = method(make_backbone, classes, **params)
    return model.to(device).to(memory_format=torch.channels_last)


def build_frozen(
    backbone: FrozenBackbone, name: str, method: type[Method], params: Mapping[str, object], *, device: torch.device
) -> Method:
    """A method on a frozen backbone, which it shares with all others on it.

    Args:
        backbone: Trained elsewhere.
        name: Of the row, for messages.
        method: Its class.
        params: Its hyper-parameters.
        device: Where it will compute.

    Raises:
        SuiteError: The method wants feature maps, or has weights of its own, which nothing would train.
    """

    def make_backbone(*, maps: bool = False) -> Backbone:
        if maps:
            raise SuiteError(
                f"methods.{name} needs feature maps, which {backbone.label} does not give; choose another method."
            )
        return backbone

    model = method(make_backbone, 0, **params)
    shared = {id(weight) for weight in backbone.parameters()}
    if own := [part for part, weight in model.named_parameters() if id(weight) not in shared]:
        raise SuiteError(
            f"methods.{name} has no training, but {method.label} has weights of its own ({own[0]}), which nothing "
            "would train; choose another method."
        )
    return model.to(device).to(memory_format=torch.channels_last)
