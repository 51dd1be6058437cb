"""Conv4: four blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import Backbone, enlarged
from fsbench.backbones.norm import BatchNorm2d, conv_norm_pool
from fsbench.errors import SuiteError

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

    The last maps of smaller images than it was built for are enlarged bilinearly before they become vectors:
    48 pixels leave 3 x 3, which become the 5 x 5 of 84 pixels. With `maps` they stay as small as they are.

    The initial weights of the convolutions are PyTorch's, uniform with variance 1 / (3 * fan in), as in Snell's
    code; Chen et al. (2019) and Sung et al. draw them from N(0, 2 / (9 * width)). Batch normalisation takes
    their size away again, but larger weights turn less in a step. Its scales start as `norm_scale` of the suite
    says: at one, PyTorch's default today; or uniform between 0 and 1, as PyTorch's default was when Snell's code
    was written and as later reproductions of its accuracy draw them. With ones the first squared distances of a
    ProtoNet are about twice as large.

    Args:
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of every convolution.
        maps: Return maps `[N, width, h, w]` instead of vectors `[N, width * h * w]`.
    """

    def __init__(self, *, channels: int, size: int, width: int, maps: bool = False) -> None:
        super().__init__()
        self.label = f"Conv4-{width}"
        self.maps = maps
        kinds = _MAPS if maps else _POOLED
        inputs = [channels, *[width] * (len(kinds) - 1)]
        self.blocks = nn.ModuleList(
            _Block(channels, width, padding, pooled) for channels, (padding, pooled) in zip(inputs, kinds, strict=True)
        )
        edge = self._edge(size)
        self.shape = (width, edge, edge)
        self.features = width * edge * edge

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`, as `Backbone.forward` says."""
        self._edge(min(images.shape[-2:]))
        for block in self.blocks:
            images = block(images, leading)
        return images if self.maps else enlarged(images, *self.shape[1:]).flatten(1)

    def _edge(self, size: int) -> int:
        """Height and width of the last maps of images of some height and width.

        Raises:
            SuiteError: Nothing is left of them.
        """
        edge = size
        for padding, pooled in _MAPS if self.maps else _POOLED:
            edge = (edge + 2 * padding - 2) // (2 if pooled else 1)
            if edge < 1:
                raise SuiteError(
                    f"a Conv4 leaves nothing of images of {size}x{size} pixels; they need {10 if self.maps else 16}."
                )
        return edge
