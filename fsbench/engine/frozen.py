"""Training on features that a frozen backbone made once, instead of on images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from fsbench.backbones.base import Backbone
from fsbench.engine.evaluation import embed_images
from fsbench.engine.store import ImageStore
from fsbench.errors import SuiteError
from fsbench.methods.base import Method

__all__ = ["embedded_once"]


@contextmanager
def embedded_once(method: Method, stores: Sequence[ImageStore]) -> Iterator[list[ImageStore]]:
    """Stores that serve the features of their images, and a method whose backbones hand on what they are given.

    Every image is embedded at the beginning, by the backbone in evaluation mode and in fp32, as images of a test are.
    Its weights get no gradient, and its statistics stay as they are.

    Args:
        method: Has one backbone.
        stores: Without augmentation and at the size of their packs.

    Raises:
        SuiteError: The method has nothing to train but its backbone.
        DeviceError: The device has too little memory.
    """
    (backbone,) = (module for module in method.modules() if isinstance(module, Backbone))
    backbone.requires_grad_(False).eval()
    if not any(weight.requires_grad for weight in method.parameters()):
        raise SuiteError(f"{method.label} has nothing to train on a frozen backbone; leave freeze out of its row.")
    featured = [store.with_features(embed_images(backbone, store)) for store in stores]
    backbone.__dict__["forward"] = _handed_on  # before that of its class, and no part of its weights
    try:
        yield featured
    finally:
        del backbone.__dict__["forward"]


def _handed_on(features: Tensor, leading: int | None = None) -> Tensor:
    return features
