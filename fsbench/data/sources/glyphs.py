"""Glyphs: letters of twelve scripts, drawn from fonts that matplotlib carries; needs no files of its own.

A class is a letter, its images are twenty drawings of it: the faces that have the letter take turns, and every
drawing has its own stroke thickness, rotation, shear, proportions, size and place. Which letters there are stands
beside the card, in `scripts.toml`, so that every machine has the same classes; `tools/choose_letters.py` chose them.

The random numbers are Philox's raw stream, keyed by the letter. The arithmetic is what IEEE 754 rounds exactly: no
sine, no library's resampling. So wherever FreeType renders the letters alike, the images are the same to the last bit,
and nothing but FreeType's version and the fonts is recorded of the way they were made.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import features

from fsbench.data.card import BySplit, Card, read_toml
from fsbench.data.letters import Face, centre, load_faces
from fsbench.data.pack import SPLITS
from fsbench.data.prepared import Prepared
from fsbench.errors import DataError

__all__ = ["DRAWINGS", "draw_letter", "prepare", "read_letters"]

DRAWINGS = 20  # of every letter

_LOG = logging.getLogger("fsbench")
_REVISION = 1  # of the drawings; whoever changes a pixel counts on
_REGULAR = (0, 3)  # pixels that strokes gain on every side, at `fsbench.data.letters.EM`
_BOLD = (-2, 1)
_HALF_TURN = 0.18  # tangent of half the angle: rotated by up to 20 degrees
_SHEAR = 0.25
_STRETCH = 0.25  # of the width
_SPAN = (0.60, 0.86)  # longer side of the ink, in image sides
_SHIFT = 0.10  # from the middle, image sides
_MARGIN = 0.03  # without ink, image sides
_SUBSAMPLES = 3  # along a side of a pixel

_Images = npt.NDArray[np.uint8]  # [n, side, side]
_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


def prepare(card: Card, variant: str, size: int, origin: Path) -> Prepared:
    """Draw all letters, here and now: a letter's twenty drawings are made together, and all of them are a few MB.

    Classes have their letters' Unicode names.

    Args:
        card: The card of the glyphs; the list of letters lies beside it.
        variant: "scripts".
        size: Height and width of the images, pixels.
        origin: Not looked at.

    Raises:
        DataNotFoundError: matplotlib came without its fonts.
        DataError: The fonts lack a letter.
    """
    faces = load_faces()
    scripts = read_letters(card.folder / f"{variant}.toml")
    splits = {split: "".join(scripts[split].values()) for split in SPLITS}
    letters = "".join(splits.values())
    names = [unicodedata.name(letter) for letter in letters]
    _LOG.info("%s: drawing %s letters in %s faces", card.name, len(letters), len(faces))
    ends = np.cumsum([len(members) for members in splits.values()]).tolist()
    return Prepared(
        images=np.concatenate([draw_letter(letter, faces, size) for letter in letters])[:, None],
        labels=np.repeat(np.arange(len(letters)), DRAWINGS),
        names=[f"{name}/{drawing:02}" for name in names for drawing in range(1, DRAWINGS + 1)],
        classes=names,
        splits={split: range(end - len(splits[split]), end) for split, end in zip(SPLITS, ends, strict=True)},
        processing={
            "variant": variant,
            "size": size,
            "ink": 255,
            "revision": _REVISION,
            "decoders": {"freetype": str(features.version("freetype2"))},
            "fonts": {face.name: face.sha256 for face in faces},
        },
    )


def read_letters(path: Path) -> dict[str, dict[str, str]]:
    """Read a list of letters: split, script, its letters in one string."""
    return dict(read_toml(path, BySplit[dict[str, str]]))


def draw_letter(letter: str, faces: Sequence[Face], size: int) -> _Images:
    """The drawings of a letter; they depend on nothing but the arguments.

    Args:
        letter: One character.
        faces: From `load_faces`; those that have the letter take turns.
        size: Height and width, pixels.

    Returns:
        uint8 `[DRAWINGS, size, size]`, ink is 255.

    Raises:
        DataError: No face has the letter.
    """
    able = [face for face in faces if letter in face.letters]
    if not able:
        raise DataError(f"glyphs: no font has {unicodedata.name(letter)}; install another version of matplotlib.")
    turns = [drawing % len(able) for drawing in range(DRAWINGS)]
    rendered = [face.render(letter) for face in able]
    thickness, *placing = _random(letter, parts=7)
    least, most = np.array([_BOLD if able[turn].bold else _REGULAR for turn in turns]).T
    steps = least + np.floor(thickness * (most - least + 1)).astype(np.int64)
    extents = np.array([rendered[turn].shape for turn in turns]) + 2 * steps[:, None]
    side = max(max(image.shape) for image in rendered) + 2 * (max(_REGULAR + _BOLD) + 1)  # an edge stays without ink
    canvases = np.stack([centre(rendered[turn], side) for turn in turns])
    return _sample(_thicken(canvases, steps), *_place(placing, extents), size)


def _random(letter: str, *, parts: int) -> _Floats:
    """Numbers in [0, 1) for every drawing of a letter, `[parts, DRAWINGS]`."""
    raw = np.random.Philox(key=np.array([_REVISION, ord(letter)], dtype=np.uint64)).random_raw(parts * DRAWINGS)
    return (raw >> np.uint64(11)).astype(np.float64).reshape(parts, DRAWINGS) * 2.0**-53


def _thicken(canvases: _Images, steps: _Integers) -> _Images:
    """Let the ink of each canvas grow by its number of steps; where that is negative, the paper grows."""
    inverted = np.where(steps < 0, 255, 0).astype(np.uint8)[:, None, None]
    canvases = canvases ^ inverted
    for step in range(1, int(abs(steps).max()) + 1):
        grown = canvases.copy()
        for ahead, behind in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
            np.maximum(grown[ahead], canvases[behind], out=grown[ahead])
            np.maximum(grown[behind], canvases[ahead], out=grown[behind])
        canvases = np.where((abs(steps) >= step)[:, None, None], grown, canvases)
    return canvases ^ inverted


def _place(placing: Sequence[_Floats], extents: _Integers) -> tuple[_Floats, _Floats]:
    """Where every drawing's ink comes to lie: anywhere, but whole.

    Args:
        placing: Six numbers in [0, 1) a drawing, `[n]` each.
        extents: Height and width of the ink on its canvas, pixels, `[n, 2]`.

    Returns:
        The linear maps from image (in image sides) to canvas (in pixels), `[2, 2, n]`, and the middle of the ink,
        in image sides from the middle of the image, `[2, n]`; x comes before y.
    """
    turn, slant, stretch, span, *shift = placing
    height, width = extents.T
    half = _HALF_TURN * (2 * turn - 1)
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    shear, wider = _SHEAR * (2 * slant - 1), 1 + _STRETCH * (2 * stretch - 1)
    # Stretched, then sheared, then rotated: where the canvas' axes point in the image, but for the scale.
    across, down = (cosine * wider, sine * wider), (cosine * shear - sine, sine * shear + cosine)
    box = np.stack([abs(across[i]) * width + abs(down[i]) * height for i in range(2)])
    scale = (_SPAN[0] + (_SPAN[1] - _SPAN[0]) * span) / box.max(axis=0)
    inverse = np.array([[down[1], -down[0]], [-across[1], across[0]]]) / (scale * wider)
    room = np.minimum(_SHIFT, (1 - box * scale) / 2 - _MARGIN)
    return inverse, room * (2 * np.stack(shift) - 1)


def _sample(canvases: _Images, inverse: _Floats, middle: _Floats, size: int) -> _Images:
    """Look every image up in its canvas: a pixel is the mean of the points in it."""
    n, side, _ = canvases.shape
    points = (np.arange(size * _SUBSAMPLES) + 0.5) / (size * _SUBSAMPLES) - 0.5
    x, y = points[None, None, :] - middle[0][:, None, None], points[None, :, None] - middle[1][:, None, None]
    column, row = (
        np.rint(to_x[:, None, None] * x + to_y[:, None, None] * y + (side - 1) / 2).astype(np.int64).clip(0, side - 1)
        for to_x, to_y in inverse
    )
    found = canvases[np.arange(n)[:, None, None], row, column]
    total: _Integers = found.reshape(n, size, _SUBSAMPLES, size, _SUBSAMPLES).sum(axis=(2, 4), dtype=np.int64)
    return (total // _SUBSAMPLES**2).astype(np.uint8)
