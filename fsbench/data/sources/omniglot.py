"""Omniglot (Lake et al., Science 2015), from its two archives as the authors publish them.

A file is `images_background/<Alphabet>/<characterNN>/<IIII>_<DD>.png`: character number IIII, drawn by person DD,
105x105 pixels of one bit, black ink on white paper. Here ink is 255 and paper 0, as in Meta-Dataset's records, whose
conversion inverts the drawings (`invert_img`) and from which the variant "metadataset" may also come.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import StringConstraints

from fsbench.data.card import BySplit, Card, read_toml
from fsbench.data.images import RESAMPLING, decoder_versions
from fsbench.data.listing import FileImage, Hierarchy, Reader
from fsbench.data.pack import SPLITS
from fsbench.data.prepared import Prepared
from fsbench.data.sources.listed import arrange
from fsbench.data.sources.originals import check_names, fetch
from fsbench.data.sources.tfrecords import records_listing
from fsbench.errors import DataError
from fsbench.files.tree import Tree, open_tree

__all__ = ["DRAWINGS", "Characters", "characters_of", "download", "prepare", "read_split"]

DRAWINGS = 20  # of every character
_LOG = logging.getLogger("fsbench")
_PARTS = {"images_background": ("train", "val"), "images_evaluation": ("test",)}  # archive: its original splits
_PLACES = ("", "python", "omniglot-py")  # beside each other, as in the authors' repository, as torchvision lays them
_TURNS = {"vinyals": (0, 90, 180, 270)}  # degrees, counter-clockwise; of the other variants: none
_METADATASET = "metadataset"  # the original split, with the alphabets as superclasses
_Numbers = Annotated[str, StringConstraints(pattern=r"^\d{1,4}(-\d{1,4})?( \d{1,4}(-\d{1,4})?)*$")]

Characters = Mapping[str, Mapping[int, list[str]]]  # alphabet, number of the character, names of its files


def prepare(card: Card, variant: str, size: int, origin: Path) -> Prepared:
    """List the drawings of both archives and make the classes of a variant.

    Classes are named `Alphabet/character01`, or `Alphabet/character01/rot090` in the variant "vinyals". A rotation
    turns the resized drawing counter-clockwise, which is exact.

    Args:
        card: The card of Omniglot; the split lists beside it say which characters there must be.
        variant: "vinyals", "original" or "metadataset".
        size: Height and width of the images, pixels.
        origin: A folder with `images_background` and `images_evaluation`, as zips or folders, in it, in its
            `python/` or in its `omniglot-py/`.

    Raises:
        DataNotFoundError: An archive is not there.
        DataError: An archive is truncated, or an alphabet, character or drawing is missing or too many.
    """
    original = read_split(card.folder / "original.toml")
    splits = original if variant == _METADATASET else read_split(card.folder / f"{variant}.toml")
    if variant == _METADATASET and (records := records_listing(origin)) is not None:
        listing = records.renamed(lambda name: name.replace("-character", "/character"))
        members = {split: [name for names in _by_alphabet(splits[split]) for name in names] for split in SPLITS}
        return arrange(card, variant, size, listing, members, layout="TFRecords")
    files: dict[str, list[FileImage]] = {}  # of every character
    for part, part_splits in _PARTS.items():
        expected = {alphabet: numbers for split in part_splits for alphabet, numbers in original[split].items()}
        place = _find(card, part, origin)
        with open_tree(place) as tree:
            found = characters_of(tree, expected)
        _LOG.info("%s: reading %s characters from %s", card.name, f"{sum(map(len, found.values())):,}", place)
        for alphabet, numbers in found.items():
            for number, drawings in numbers.items():
                files[_character(alphabet, number)] = [FileImage(place, file) for file in sorted(drawings)]
    return _arrange(files, splits, variant, size)


def download(folder: Path) -> None:
    """Fetch both archives with torchvision, which checks their MD5.

    Raises:
        DataError: They cannot be fetched, or are not what was published.
    """
    from torchvision.datasets import Omniglot

    for background in (True, False):
        fetch("omniglot", partial(Omniglot, background=background), folder)


def read_split(path: Path) -> dict[str, dict[str, list[int]]]:
    """Read a split list: split, alphabet, numbers of its characters (in the file as "1-5 7 9-12")."""
    content = read_toml(path, BySplit[dict[str, _Numbers]])
    return {split: {alphabet: _numbers(text) for alphabet, text in alphabets.items()} for split, alphabets in content}


def characters_of(tree: Tree, expected: Mapping[str, list[int]]) -> Characters:
    """Sort the files of an archive by alphabet and character and compare them with what there must be.

    Args:
        tree: The archive.
        expected: Alphabet to the numbers of its characters, `DRAWINGS` drawings each.

    Raises:
        DataError: Naming the archive and the first alphabet or character that is missing or unknown, or the
            character whose drawings are too few or too many.
    """
    found: dict[str, dict[int, list[str]]] = {}
    for name in tree.files:
        if match := re.search(r"([^/]+)/character(\d{1,4})/\d+_\d+\.png$", name):
            found.setdefault(match[1], {}).setdefault(int(match[2]), []).append(name)
    check_names(tree.path, "alphabets", expected, found)
    for alphabet, numbers in expected.items():
        check_names(tree.path, f"characters of {alphabet}", numbers, found[alphabet])
        for number, files in found[alphabet].items():
            if len(files) != DRAWINGS:
                raise DataError(
                    f"{tree.path}: {_character(alphabet, number)} has {len(files)} drawings instead of {DRAWINGS}; "
                    "get a new copy."
                )
    return found


def _find(card: Card, part: str, origin: Path) -> Path:
    places = tuple(origin / place for place in _PLACES)
    for place in places:
        for candidate in (place / f"{part}.zip", place / part):
            if candidate.exists():
                return candidate
    raise card.not_found(f"{part}.zip", places)


@dataclass(frozen=True, kw_only=True)
class _Drawing(FileImage):
    """A drawing as an image of a class.

    Attributes:
        class_name: The class.
        turn: Counter-clockwise, degrees.
    """

    class_name: str
    turn: int

    @property
    def name(self) -> str:
        return f"{self.class_name}/{PurePosixPath(self.file).stem}"

    def decode(self, reader: Reader, *, size: int, channels: int) -> npt.NDArray[np.uint8]:
        upright = _decode(reader, FileImage(self.tree, self.file), size, channels)
        return np.rot90(255 - upright, self.turn // 90, axes=(1, 2))


@lru_cache(DRAWINGS)  # the turns of a character follow each other
def _decode(reader: Reader, image: FileImage, size: int, channels: int) -> npt.NDArray[np.uint8]:
    return image.decode(reader, size=size, channels=channels)


def _arrange(
    files: Mapping[str, list[FileImage]], splits: Mapping[str, Mapping[str, list[int]]], variant: str, size: int
) -> Prepared:
    turns = _TURNS.get(variant, (0,))
    suffix = {turn: f"/rot{turn:03}" if len(turns) > 1 else "" for turn in turns}
    made = sorted((character + suffix[turn], character, turn) for character in files for turn in turns)
    label = {name: index for index, (name, _, _) in enumerate(made)}
    prepared = Prepared.of_items(
        {
            name: [_Drawing(file.tree, file.file, class_name=name, turn=turn) for file in files[character]]
            for name, character, turn in made
        },
        {
            split: sorted(
                label[_character(alphabet, number) + suffix[turn]]
                for alphabet, numbers in alphabets.items()
                for number in numbers
                for turn in turns
            )
            for split, alphabets in splits.items()
        },
        {
            "variant": variant,
            "size": size,
            "resampling": RESAMPLING,
            "ink": 255,
            "rotations": list(turns),
            "decoders": decoder_versions(),
        },
        size=size,
        channels=1,
    )
    if variant != _METADATASET:
        return prepared
    return replace(prepared, hierarchy=Hierarchy("superclasses", {s: _by_alphabet(splits[s]) for s in SPLITS}))


def _by_alphabet(alphabets: Mapping[str, list[int]]) -> list[list[str]]:
    """The names of the characters of every alphabet."""
    return [[_character(alphabet, number) for number in numbers] for alphabet, numbers in alphabets.items()]


def _character(alphabet: str, number: int) -> str:
    return f"{alphabet}/character{number:02}"


def _numbers(text: str) -> list[int]:
    ranges = (piece.partition("-")[::2] for piece in text.split())
    return [number for first, last in ranges for number in range(int(first), int(last or first) + 1)]
