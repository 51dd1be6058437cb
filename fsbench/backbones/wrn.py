"""Wide residual networks, of any depth and width: WRN-28-10 and its small relatives."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import BatchNorm2d, ConvNorm
from fsbench.errors import SuiteError

__all__ = ["WideResNet"]

_STEM: Final = 16  # filters of the first convolution, and of the first group at a widen factor of 1
_STRIDES: Final = (1, 2, 2)  # of the first block of every group


class _Block(nn.Module):
    """Normalisation and ReLU before each of two convolutions; where filters change, before the shortcut too."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(inputs)
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = _conv(outputs, outputs, 3, 1)
        self.shortcut = None if inputs == outputs and stride == 1 else _conv(inputs, outputs, 1, stride)

    def forward(self, images: Tensor, leading: int | None) -> Tensor:
        active = F.relu(self.norm(images, leading))
        maps = _convolved(self.second, F.relu(self.first(active, leading)))
        return maps + (images if self.shortcut is None else _convolved(self.shortcut, active))


class WideResNet(Backbone):
    """The network of Zagoruyko and Komodakis, BMVC 2016, table 1: "WRN-28-10" at depth 28 and width 160.

    A convolution of 16 filters, three groups of (depth - 4) / 6 blocks with 1, 2 and 4 times as many filters as the
    width says, the last two of half the height and width, normalisation and ReLU: 36,472,784 weights of RGB images at
    depth 28 and width 160. The features are means over the last maps; with `maps` they are these maps, 640 x 21 x 21
    of 84 pixels. The convolutions start as in He et al., ICCV 2015, by the fan out. No dropout.

    Args:
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of the first group, 16 times the widen factor.
        maps: Return maps `[N, 4 * width, h, w]` instead of their means `[N, 4 * width]`.
        depth: Layers, 6 n + 4.

    Raises:
        SuiteError: There is no such depth.
    """

    def __init__(self, *, channels: int, size: int, width: int, maps: bool = False, depth: int = 28) -> None:
        super().__init__()
        if depth < 10 or depth % 6 != 4:
            raise SuiteError(f"a WRN of depth {depth} does not exist; its depth is 10, 16, 22, 28, ...")
        self.label = f"WRN-{depth}-{width / _STEM:g}"
        self.maps = maps
        self.stem = _conv(channels, _STEM, 3, 1)
        blocks, inputs = [], _STEM
        for multiple, stride in zip((1, 2, 4), _STRIDES, strict=True):
            for number in range((depth - 4) // 6):
                blocks.append(_Block(inputs, width * multiple, 1 if number else stride))
                inputs = width * multiple
        self.blocks = nn.ModuleList(blocks)
        self.norm = BatchNorm2d(inputs)
        edge = -(-size // 4) if maps else 1
        self.shape = (inputs, edge, edge)
        self.features = inputs * edge * edge

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`, as `Backbone.forward` says; of any size, since maps are averaged."""
        images = _convolved(self.stem, images)
        for block in self.blocks:
            images = block(images, leading)
        images = F.relu(self.norm(images, leading))
        return images if self.maps else images.mean((2, 3))


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _convolved(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """The convolution of images, of several tasks side by side if `conv` holds the weights of as many networks."""
    return F.conv2d(
        images, conv.weight, None, conv.stride, conv.padding, groups=images.shape[1] // conv.weight.shape[1]
    )
