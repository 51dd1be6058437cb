"""DropBlock: dropout of square parts of feature maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DropBlock"]


class DropBlock(nn.Module):
    """Sets squares of every map to zero in training: Ghiasi, Lin and Le, NeurIPS 2018, algorithm 1.

    Where a square begins is drawn with the probability of their equation 1, rate / block^2 * edge^2 /
    (edge - block + 1)^2, for every map on its own. A map smaller than a square is a square itself. The squares of a
    map may overlap, so that a little less than `rate` of it goes.

    Deviations: what is kept is scaled by the share that is expected to be kept, instead of the share kept in the batch,
    so that no image depends on the others; and the rate is the same in all steps, instead of rising from zero.

    Args:
        rate: About the share that is dropped, at least 0 and below 1.
        block: Height and width of the squares; 1 is dropout of single values.
    """

    def __init__(self, rate: float, block: int) -> None:
        super().__init__()
        self.rate, self.block = rate, block

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` with squares of zeros in training, and as they are otherwise."""
        if not self.training or self.rate == 0:
            return maps
        height, width = maps.shape[-2:]
        block = min(self.block, height, width)
        places = (height - block + 1, width - block + 1)
        chance = self.rate / block**2 * height * width / (places[0] * places[1])
        begins = torch.rand(*maps.shape[:2], *places, device=maps.device) < chance
        kept = 1 - _squares(begins.to(maps.dtype), block)
        # at every place the chance that none of the squares that may cover it begins
        ones = torch.ones(1, 1, *places, device=maps.device)
        covering = F.avg_pool2d(F.pad(ones, (block - 1,) * 4), block, stride=1, divisor_override=1)
        return maps * kept / ((1 - chance) ** covering).mean()

    def extra_repr(self) -> str:
        """For `repr`."""
        return f"rate={self.rate}, block={self.block}"


def _squares(begins: Tensor, block: int) -> Tensor:
    """Ones in the squares that begin where `begins` `[N, C, h, w]` has ones: `[N, C, h + block - 1, w + block - 1]`."""
    return F.max_pool2d(F.pad(begins, (block - 1,) * 4), block, stride=1)
