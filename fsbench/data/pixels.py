"""Images that are no files of their own but lie in an array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsbench.data.images import squeeze
from fsbench.data.listing import Reader

__all__ = ["PixelImage"]


@dataclass(frozen=True, eq=False)
class PixelImage:
    """An image in memory.

    Attributes:
        name: What to call it.
        pixels: uint8 `[H, W]` (grey) or `[H, W, 3]` (RGB).
    """

    name: str
    pixels: npt.NDArray[np.uint8]

    def decode(self, reader: Reader, *, size: int, channels: int) -> npt.NDArray[np.uint8]:
        """Squeeze it to a square."""
        return squeeze(Image.fromarray(self.pixels).convert("L" if channels == 1 else "RGB"), size=size)
