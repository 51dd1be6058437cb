"""ResNet-18: a strided 7x7 convolution and eight residual blocks of two 3x3 convolutions."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import ConvNorm

__all__ = ["ResNet18"]

_MULTIPLES: Final = (1, 1, 2, 2, 4, 4, 8, 8)  # of the width: the filters of every block
_STRIDE: Final = 32  # of the whole network


class _Block(nn.Module):
    """Two convolutions, whose sum with the input goes through ReLU; more filters come with maps half as large."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs, 3, 1)
        self.shortcut = None if inputs == outputs else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, images: Tensor, leading: int | None) -> Tensor:
        residual = self.second(F.relu(self.first(images, leading)), leading)
        return F.relu(residual + (images if self.shortcut is None else self.shortcut(images, leading)))


class ResNet18(Backbone):
    """The 18-layer network of He et al., CVPR 2016, without its last layer: "ResNet-18" at width 64.

    Table 1 there, with 1x1 convolutions only in the shortcuts that change the shape (option B): the same
    function as torchvision's `resnet18`, and its initial weights (He et al., ICCV 2015, by the fan out).
    11,176,512 weights and 512 features from RGB images of any size. The features are means over the last
    maps; with `maps` they are these maps, 512 x 3 x 3 of 84 pixels and 512 x 4 x 4 of 126.

    The ResNet-18 of Meta-Dataset (Triantafillou et al., ICLR 2020; its code) differs from this one:

    - The shortcut of its first block is a 1x1 convolution with normalisation too, where He et al. and
      torchvision add the block's input itself: 4,224 weights more.
    - It first enlarges images bilinearly to the next multiple of 32 plus 1, 84 pixels to 97 and 126 to 129,
      whose last maps are 4 x 4 and 5 x 5.
    - Its initial weights are normal with standard deviation 0.1, truncated at twice that, in every
      convolution: in the last 3x3 convolutions 4 times as large as here. Normalisation keeps this from the
      features, but larger weights turn less in a gradient step, so inner learning rates do not carry over.

    Args:
        channels: Of the images.
        size: Height and width of the images, pixels.
        width: Filters of the first convolution and the first two blocks; the last two have 8 times as many.
        maps: Return maps `[N, 8 * width, h, w]` instead of their means `[N, 8 * width]`.
    """

    def __init__(self, *, channels: int, size: int, width: int, maps: bool = False) -> None:
        super().__init__()
        self.label = "ResNet-18" if width == 64 else f"ResNet-18 (width {width})"
        self.maps = maps
        self.stem = ConvNorm(channels, width, 7, 2)
        outputs = [width * multiple for multiple in _MULTIPLES]
        self.blocks = nn.ModuleList(map(_Block, [width, *outputs], outputs))
        edge = -(-size // _STRIDE) if maps else 1
        self.shape = (outputs[-1], edge, edge)
        self.features = outputs[-1] * edge * edge

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features of `images` `[N, C, H, W]`, as `Backbone.forward` says; of any size, since maps are averaged."""
        images = F.relu(F.max_pool2d(self.stem(images, leading), kernel_size=3, stride=2, padding=1))
        for block in self.blocks:
            images = block(images, leading)
        return images if self.maps else images.mean((2, 3))
