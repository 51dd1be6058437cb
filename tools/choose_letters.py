"""Choose the letters of the glyphs: `python tools/choose_letters.py` prints what stands in the card's scripts.toml.

Not every letter of the faces (`fsbench.data.letters`) is worth a class:

- Letters are Unicode's categories Ll, Lu and Lo, in at least four faces. Those with a decomposition (é, Ǆ,
  presentation forms) are left out: hundreds of accented copies would outnumber the letters that differ. So are those
  smaller than a third of an em, which would be blots when enlarged.
- No letter looks like another one, in whatever upright or slanted faces the two are compared, once they are brought
  to one size: not o and O, not the A of Latin, Greek and Cyrillic. Of letters that look alike one stays, by the order
  of `SCRIPTS`: test before validation before training, the split that can spare most.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fsbench.data.letters import EM, Face, load_faces

__all__ = ["SCRIPTS", "select_letters", "to_toml"]

SCRIPTS: Mapping[str, Sequence[str]] = {  # by the first words of their letters' Unicode names, in order of precedence
    "test": ("ARMENIAN", "GEORGIAN", "HEBREW", "LAO"),
    "val": ("CYRILLIC", "COPTIC", "OLD ITALIC"),
    "train": ("GREEK", "LATIN", "LISU", "ARABIC", "CANADIAN SYLLABICS"),
}

_CATEGORIES = ("Ll", "Lu", "Lo")
_FEWEST_FACES = 4
_SMALLEST = EM // 3  # pixels, the longer side
_SHAPE = 20  # pixels, a side of a shape
_ALIKE = 0.91  # cosine of two shapes
_STRETCH = 1.6  # two shapes whose widths differ by a larger factor are not alike; drawings are stretched by nearly that

_Image = npt.NDArray[np.uint8]


class _Shapes(NamedTuple):
    """What letters look like, whatever their size and proportions."""

    pixels: npt.NDArray[np.float32]  # [n, _SHAPE * _SHAPE], whole numbers
    width: npt.NDArray[np.float32]  # of the letter, in its heights, [n]


def select_letters(faces: Sequence[Face]) -> dict[str, dict[str, str]]:
    """Choose the letters as the head of this module says: split, script, its letters by code point."""
    kept = _Shapes(np.empty((0, _SHAPE * _SHAPE), dtype=np.float32), np.empty(0, dtype=np.float32))
    chosen: dict[str, dict[str, str]] = {}
    for split, scripts in SCRIPTS.items():
        for script in scripts:
            different = ""
            for letter in _candidates(script, faces):
                shapes = _shapes(letter, faces)
                if not _alike(shapes, kept):
                    kept = _Shapes(*map(np.concatenate, zip(kept, shapes, strict=True)))
                    different += letter
            chosen.setdefault(split, {})[script] = different
    return chosen


def to_toml(chosen: Mapping[str, Mapping[str, str]]) -> str:
    """The list as it stands beside the card."""
    tables = []
    for split in reversed(chosen):  # training first
        lines = [f"{_key(script)} = {json.dumps(some, ensure_ascii=False)}\n" for script, some in chosen[split].items()]
        tables.append(f"[{split}]\n{''.join(lines)}")
    return "\n".join(tables)


def _candidates(script: str, faces: Sequence[Face]) -> Iterator[str]:
    everything: frozenset[str] = frozenset().union(*(face.letters for face in faces))
    for letter in sorted(everything):
        if not unicodedata.name(letter, "").startswith(f"{script} "):
            continue
        if unicodedata.category(letter) not in _CATEGORIES or unicodedata.decomposition(letter):
            continue
        able = [face for face in faces if letter in face.letters]
        if len(able) >= _FEWEST_FACES and max(able[0].render(letter).shape) >= _SMALLEST:
            yield letter


def _shapes(letter: str, faces: Sequence[Face]) -> _Shapes:
    """A letter in every face that is not bold: its ink squeezed to a square and slightly blurred."""
    images = [face.render(letter) for face in faces if not face.bold and letter in face.letters]
    return _Shapes(
        np.stack([_squeeze(image) for image in images]).astype(np.float32),
        np.array([image.shape[1] / image.shape[0] for image in images], dtype=np.float32),
    )


def _squeeze(image: _Image) -> npt.NDArray[np.int64]:
    """Bring an image to `_SHAPE` by `_SHAPE` numbers below 64, so small that float32 adds their products exactly."""
    rows, columns = ((2 * np.arange(4 * _SHAPE) + 1) * side // (8 * _SHAPE) for side in image.shape)
    points = image[np.ix_(rows, columns)].reshape(_SHAPE, 4, _SHAPE, 4)
    shape: npt.NDArray[np.int64] = points.sum(axis=(1, 3), dtype=np.int64)
    for _ in range(2):
        padded = np.pad(shape, 1)
        above = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        shape = above[:, :-2] + 2 * above[:, 1:-1] + above[:, 2:]
    return np.ravel(shape >> 14)


def _alike(shapes: _Shapes, others: _Shapes) -> bool:
    """Whether any of `shapes` looks like any of `others`."""
    lengths = [np.sqrt((pixels * pixels).sum(axis=1)) for pixels, _ in (shapes, others)]
    similar = shapes.pixels @ others.pixels.T >= _ALIKE * np.outer(*lengths)
    stretch = shapes.width[:, None] / others.width
    return bool((similar & (stretch <= _STRETCH) & (stretch >= 1 / _STRETCH)).any())


def _key(script: str) -> str:
    return script if script.isalpha() else json.dumps(script)


if __name__ == "__main__":
    print(to_toml(select_letters(load_faces())), end="")
