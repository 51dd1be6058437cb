"""Quick, Draw! (Jongejan et al., 2016) from Google's bitmaps: `<category>.npy`, uint8 `[drawings, 28 * 28]`.

Strokes are white on black, as Google drew them and as Meta-Dataset takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from fsbench.data.card import Card
from fsbench.data.listing import Listing, Reader
from fsbench.data.pixels import PixelImage
from fsbench.data.sources.listed import listed_source
from fsbench.errors import DataError
from fsbench.files.arrays import open_array

__all__ = ["Drawings", "RowImage", "original", "prepare"]

_SIDE = 28  # pixels
_PREFIX = "full_numpy_bitmap_"  # that a browser puts before the name of a category


def original(card: Card, origin: Path) -> Listing | None:
    """Google's files in a folder.

    Raises:
        DataError: A file is cut or holds no such bitmaps.
    """
    files = sorted(origin.glob("[!.]*.npy"))
    return Listing({_category(file): Drawings(file, len(_open(file))) for file in files}) if files else None


@dataclass(frozen=True)
class RowImage:
    """A drawing.

    Attributes:
        path: The file of its category.
        row: Where it is there.
    """

    path: Path
    row: int

    @property
    def name(self) -> str:
        """Its category and row, as drawings have no names."""
        return f"{_category(self.path)}/{self.row}"

    def decode(self, reader: Reader, *, size: int, channels: int) -> npt.NDArray[np.uint8]:
        """Read and squeeze it."""
        pixels = np.array(_open(self.path)[self.row]).reshape(_SIDE, _SIDE)
        return PixelImage(self.name, pixels).decode(reader, size=size, channels=channels)


@dataclass(frozen=True)
class Drawings(Sequence[RowImage]):
    """The drawings of a category, made when asked for: there are fifty million in all.

    Attributes:
        path: Their file.
        number: How many there are.
    """

    path: Path
    number: int

    @overload
    def __getitem__(self, index: int) -> RowImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RowImage]: ...
    def __getitem__(self, index: int | slice) -> RowImage | Sequence[RowImage]:
        rows = range(self.number)[index]
        return [RowImage(self.path, row) for row in rows] if isinstance(rows, range) else RowImage(self.path, rows)

    def __len__(self) -> int:
        return self.number


def _category(path: Path) -> str:
    return path.stem.removeprefix(_PREFIX)


def _open(path: Path) -> npt.NDArray[np.uint8]:
    try:
        bitmaps = open_array(path)
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); it may be cut, get a new copy of it.") from error
    if bitmaps.dtype != np.uint8 or bitmaps.ndim != 2 or bitmaps.shape[1] != _SIDE**2:
        raise DataError(
            f"{path} holds {bitmaps.dtype} {list(bitmaps.shape)} instead of uint8 [drawings, {_SIDE**2}]; "
            "get Google's bitmaps."
        )
    return bitmaps


prepare = listed_source(original)
