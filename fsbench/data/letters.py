"""The letters of the glyphs: the faces that draw them.

The faces are the DejaVu fonts that matplotlib carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from fsbench.errors import DataNotFoundError
from fsbench.files.atomic import sha256_file

__all__ = ["EM", "Face", "centre", "load_faces"]

EM = 96  # pixels: the font size that letters are rendered at

_FACES = (
    *(f"DejaVuSans{mono}{style}" for mono in ("", "Mono") for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
)

_Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Face:
    """An opened font file.

    Attributes:
        name: The file's name without its suffix, e.g. "DejaVuSans-Bold".
        letters: The characters it has.
        sha256: Hash of the file.
        font: Draws them, `EM` pixels high.
    """

    name: str
    letters: frozenset[str]
    sha256: str
    font: ImageFont.FreeTypeFont

    @property
    def bold(self) -> bool:
        """Whether its strokes are thick."""
        return "Bold" in self.name

    def render(self, letter: str) -> _Image:
        """A letter, cropped to its ink: uint8 `[height, width]`, ink is 255."""
        mask = self.font.getmask(letter, mode="L")
        image = np.array(mask, dtype=np.uint8).reshape(mask.size[::-1])
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def load_faces() -> tuple[Face, ...]:
    """Open the twelve faces: sans, monospaced and serif; upright and slanted; regular and bold.

    Raises:
        DataNotFoundError: matplotlib came without them.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = []
    for name in _FACES:
        path = folder / f"{name}.ttf"
        if not path.is_file():
            raise DataNotFoundError(f"glyphs: matplotlib's font {path} is missing; install matplotlib again with pip.")
        letters = frozenset(map(chr, FT2Font(str(path)).get_charmap()))
        # Raqm, where it is installed, would shape and place letters in its own way.
        font = ImageFont.truetype(path, EM, layout_engine=ImageFont.Layout.BASIC)
        faces.append(Face(name, letters, sha256_file(path), font))
    return tuple(faces)


def centre(image: _Image, side: int) -> _Image:
    """Put an image in the middle of an empty square."""
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
    square[top : top + image.shape[0], left : left + image.shape[1]] = image
    return square
