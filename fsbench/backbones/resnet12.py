"""ResNet-12: four residual blocks of three 3x3 convolutions, the backbone of MetaOptNet and many since."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import Backbone, enlarged
from fsbench.backbones.drop import DropBlock
from fsbench.backbones.norm import ConvNorm
from fsbench.errors import SuiteError

__all__ = ["ResNet12"]

_MULTIPLES: Final = (2, 5, 10, 20)  # of half the width: the filters of every block
_SLOPE: Final = 0.1  # of the leaky ReLU below zero
_BLOCKS: Final = (1, 1, 5, 5)  # height and width of what is dropped after every block
_SMALLEST: Final = 16  # pixels; four times halved, one is left


class _Block(nn.Module):
    """Three convolutions, added to a 1x1 convolution of the input, and pooling before the ReLU: the same function."""

    def __init__(self, inputs: int, outputs: int, drop: DropBlock) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, 1)
        self.second = ConvNorm(outputs, outputs, 3, 1)
        self.third = ConvNorm(outputs, outputs, 3, 1)
        self.shortcut = ConvNorm(inputs, outputs, 1, 1)
        self.drop = drop

    def forward(self, images: Tensor, leading: int | None) -> Tensor:
        maps = F.leaky_relu(self.first(images, leading), _SLOPE)
        maps = F.leaky_relu(self.second(maps, leading), _SLOPE)
        maps = self.third(maps, leading) + self.shortcut(images, leading)
        dropped: Tensor = self.drop(F.leaky_relu(F.max_pool2d(maps, 2), _SLOPE))
        return dropped


class ResNet12(Backbone):
    """The ResNet-12 of Lee et al. (MetaOptNet), CVPR 2019, section 4.1 and code: "ResNet-12" at width 64.

    64, 160, 320 and 640 filters, leaky ReLUs of slope 0.1, 2x2 max-pooling in every block, no stem: 12,424,320 weights
    of RGB images. The networks of the same name with 64, 128, 256 and 512 filters are others. The features are means
    over the last maps, as in most later code; without `avg_pool` all values of these maps, as in MetaOptNet itself,
    those of smaller images enlarged first. With `maps` they are the maps, 640 x 5 x 5 of 84 pixels and 640 x 1 x 1
    of 28.

    The convolutions start as in He et al., ICCV 2015, by the fan out. With a `drop_rate` single values are dropped
    after the first two blocks and squares of 5 x 5 after the last two, as in the authors' code at a rate of 0.1.

    Args:
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of the first block, an even number.
        maps: Return maps `[N, 10 * width, h, w]` instead of vectors.
        drop_rate: About the share of the maps that is dropped in training, from 0 to below 1.
        avg_pool: Whether the vectors are means `[N, 10 * width]` or whole maps `[N, 10 * width * h * w]`.

    Raises:
        SuiteError: The width is odd, or the images are too small.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        width: int,
        maps: bool = False,
        drop_rate: float = 0.0,
        avg_pool: bool = True,
    ) -> None:
        super().__init__()
        if width % 2:
            raise SuiteError(
                f"the width of a ResNet-12 is {width}; give an even one, since the second block has 2.5 times."
            )
        particulars = [*([] if width == 64 else [f"width {width}"]), *([] if avg_pool else ["no pooling"])]
        self.label = f"ResNet-12 ({', '.join(particulars)})" if particulars else "ResNet-12"
        self.maps, self.avg_pool, self.noisy = maps, avg_pool, drop_rate > 0
        outputs = [width // 2 * multiple for multiple in _MULTIPLES]
        drops = (DropBlock(drop_rate, block) for block in _BLOCKS)
        self.blocks = nn.ModuleList(map(_Block, [channels, *outputs], outputs, drops))
        _check(size)
        edge = 1 if avg_pool and not maps else size // _SMALLEST
        self.shape = (outputs[-1], edge, edge)
        self.features = outputs[-1] * edge * edge

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`, as `Backbone.forward` says; of any size, if maps are averaged."""
        _check(min(images.shape[-2:]))
        for block in self.blocks:
            images = block(images, leading)
        if self.maps:
            return images
        return images.mean((2, 3)) if self.avg_pool else enlarged(images, *self.shape[1:]).flatten(1)

    def extra_repr(self) -> str:
        """For `repr`."""
        return f"maps={self.maps}, avg_pool={self.avg_pool}"


def _check(size: int) -> None:
    if size < _SMALLEST:
        raise SuiteError(f"a ResNet-12 leaves nothing of images of {size}x{size} pixels; they need {_SMALLEST}.")
