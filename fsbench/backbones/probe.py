"""Whether somebody's backbone keeps what methods rely on, seen on a few random images before anything is trained.

It computes in float64 here: where few pixels are left, normalising by the statistics of two images makes much of a
rounding, in float32 so much that equal calculations look different.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from fsbench.backbones.base import Backbone
from fsbench.errors import SuiteError

__all__ = ["check_backbone"]

_LEADING = 2


def check_backbone(backbone: Backbone, *, channels: int, size: int, adapts: bool) -> None:
    """Look at the features of four images, alone and beside others.

    Args:
        backbone: Left in the mode that it had.
        channels: Of its images.
        size: Their height and width.
        adapts: Whether a gradient method is to use it, which gives `leading`, and several tasks side by side.

    Raises:
        SuiteError: The features have another shape than it says, or those of an image depend on images that have no
            part in them, or it cannot compute in float64.
    """
    drawn = torch.Generator().manual_seed(0)
    images, others = (torch.randn(4, channels, size, size, generator=drawn, dtype=torch.float64) for _ in range(2))
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            _check_alone(backbone, images, others)
            if adapts:
                _check_leading(backbone, images, others)
    except RuntimeError as error:
        backbone(images.float(), _LEADING if adapts else None)  # raises what is wrong with it whatever the type
        raise SuiteError(
            f"the backbone {backbone.label} fails on images [4, {channels}, {size}, {size}] of float64, on which it is "
            f"looked at ({str(error).partition(chr(10))[0]:.200}); let it compute in the type of its images."
        ) from error
    finally:
        backbone.train(was_training)


def _check_alone(backbone: Backbone, images: Tensor, others: Tensor) -> None:
    features = _features(backbone, images)
    asked = [(len(images), backbone.features), (len(images), *backbone.shape)]
    if features.shape not in asked:
        raise SuiteError(
            f"the backbone {backbone.label} makes {list(features.shape)} of {len(images)} images; by its features and "
            f"shape it must be {list(asked[0])}, or {list(asked[1])} if it is built for maps."
        )
    if not _same(features[:1], _features(backbone, torch.cat([images[:1], others[1:]]))[:1]):
        raise SuiteError(
            f"the features that the backbone {backbone.label} makes of an image depend on the images beside it, also "
            "in evaluation mode; normalise by fsbench.backbones.norm.BatchNorm2d."
        )


def _check_leading(backbone: Backbone, images: Tensor, others: Tensor) -> None:
    features = _features(backbone, images, _LEADING)
    if not _same(features[:-1], _features(backbone, torch.cat([images[:-1], others[-1:]]), _LEADING)[:-1]):
        raise SuiteError(
            f"with leading={_LEADING} the features that the backbone {backbone.label} makes of an image depend on the "
            "images after these, so that no gradient method on it would be inductive; give leading to "
            "fsbench.backbones.norm.BatchNorm2d."
        )
    stacked = {name: torch.cat([weight, weight]) for name, weight in backbone.named_parameters()}
    try:
        beside = _features(backbone, torch.cat([images, images], dim=1), _LEADING, stacked)
        fits = beside.shape == (len(images), 2 * backbone.features) and _same(torch.cat([features] * 2, dim=1), beside)
    except RuntimeError:
        fits = False
    if not fits:
        raise SuiteError(
            f"the backbone {backbone.label} does not take the images of two tasks side by side, [N, 2 * C, H, W], with "
            "two networks' weights stacked, as gradient methods give them; fsbench.backbones.norm.conv_norm_pool does."
        )


def _features(
    backbone: Backbone, images: Tensor, leading: int | None = None, weights: Mapping[str, Tensor] | None = None
) -> Tensor:
    """What the backbone makes of images, with its own weights or with others, in the type of the images."""
    state = dict(backbone.named_parameters()) | dict(backbone.named_buffers()) | dict(weights or {})
    exact = {name: value.to(images.dtype) if value.is_floating_point() else value for name, value in state.items()}
    features: Tensor = functional_call(backbone, exact, (images, leading))
    return features


def _same(features: Tensor, again: Tensor) -> bool:
    return torch.allclose(features, again, rtol=1e-3, atol=1e-5)
