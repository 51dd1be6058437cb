"""Conv4: four blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import BatchNorm2d, conv_norm_pool

__all__ = ["Conv4"]

_POOLED: Final = ((1, True), (1, True), (1, True), (1, True))  # (padding, pooling) of every block
_MAPS: Final = ((0, True), (0, True), (1, False), (1, False))


class _Block(nn.Module):
    """Convolution, batch normalisation, pooling, ReLU; pooling first is the same function at a quarter of the cost."""

    def __init__(self, inputs: int, outputs: int, padding: int, pooled: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=3, padding=padding)
        self.norm = BatchNorm2d(outputs)
        self.pooled = pooled

    def forward(self, images: Tensor, leading: int | None) -> Tensor:
        return F.relu(conv_norm_pool(self.conv, self.norm, images, leading, pooled=self.pooled))


class Conv4(Backbone):
    """The backbone of Vinyals et al. (2016) and Snell et al. (2017), "Conv4-64" at width 64.

    Padding 1 and pooling in every block: 28 pixels give 64 features, 84 pixels 1600. With `maps`, the
    variant of RelationNet (Sung et al. 2018): no padding in the first two blocks, no pooling in the last
    two, and feature maps instead of vectors (28 pixels give 64 x 5 x 5, 84 pixels 64 x 19 x 19).

    Args:
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of every convolution.
        maps: Return maps `[N, width, h, w]` instead of vectors `[N, width * h * w]`.
    """

    def __init__(self, *, channels: int, size: int, width: int, maps: bool = False) -> None:
        super().__init__()
        self.maps = maps
        blocks = []
        for padding, pooled in _MAPS if maps else _POOLED:
            blocks.append(_Block(channels, width, padding, pooled))
            channels, size = width, (size + 2 * padding - 2) // (2 if pooled else 1)
        self.blocks = nn.ModuleList(blocks)
        self.shape = (width, size, size)
        self.features = width * size * size

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`; `leading` as in `BatchNorm2d.forward`."""
        for block in self.blocks:
            images = block(images, leading)
        return images if self.maps else images.flatten(1)
