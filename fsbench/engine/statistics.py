"""Running statistics of batch normalisation, computed again from plain images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from fsbench.backbones.base import Backbone
from fsbench.engine.memory import halved
from fsbench.engine.store import ImageStore
from fsbench.episodes.sources import draw_mixed_batches
from fsbench.methods.base import Method

__all__ = ["recompute_statistics"]

_AT_ONCE = 128  # images, of mixed classes: the mean of the variances of such batches is close to that of all


def recompute_statistics(method: Method, stores: Sequence[ImageStore], images: int, seed: int) -> None:
    """Replace the running statistics of a method's backbones by those of training images as they are.

    In training they follow augmented images, smaller ones in a phase of low resolution, and weights that have
    changed since. What normalises beside a backbone keeps what the steps left.

    Args:
        method: Left in training mode.
        stores: The training images of every source; drawn from uniformly.
        images: How many.
        seed: Decides which, together with the number of images and the sources' sizes.

    Raises:
        DeviceError: The device has too little memory.
    """
    sizes = [len(store.indices) for store in stores]
    sources, positions = (drawn[0] for drawn in draw_mixed_batches(sizes, images, seed=seed, start=0, stop=1))
    method.eval()  # only the normalisation is as in training: nothing is dropped
    for backbone in [module for module in method.modules() if isinstance(module, Backbone)]:
        norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train().reset_running_stats()
            norm.momentum = None  # the mean over all batches
        with torch.no_grad():
            for part in np.array_split(np.arange(images), -(-images // _AT_ONCE)):
                seen = [
                    stores[index].batch(positions[part][sources[part] == index]) for index in np.unique(sources[part])
                ]
                try:
                    backbone(torch.cat([batch.images for batch in seen]))
                except torch.OutOfMemoryError as error:  # smaller batches have other statistics
                    halved(len(part), "images", error, divisible=False)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    method.train()
