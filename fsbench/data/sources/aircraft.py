"""FGVC-Aircraft (Maji et al., 2013) from `fgvc-aircraft-2013b.tar.gz`, unpacked.

`data/` has `images/<number>.jpg`, a list of images and their variants for each of the authors' splits, which are
joined here, and a box around the aircraft of every image. As in Meta-Dataset only this box is kept, and thereby not
the banner at the bottom that names the photographer.
"""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.images import Box
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source
from fsbench.data.sources.originals import complete_listing, fetch, find_layout, read_lines
from fsbench.errors import DataError
from fsbench.files.tree import open_tree

__all__ = ["download", "original", "prepare"]

_PLACES = ("fgvc-aircraft-2013b/data", "data", "")
_LISTS = ("train", "val", "test")
_EACH = 100  # images of every variant


def original(card: Card, origin: Path) -> Listing | None:
    """The authors' files in a folder: in it, in its `data/` or in its `fgvc-aircraft-2013b/data/`.

    Raises:
        DataError: A list is missing or damaged, or an image, its box or a variant is missing.
    """
    folder = find_layout(origin, _PLACES, "variants.txt")
    if folder is None:
        return None
    named: dict[str, list[FileImage]] = {}
    with open_tree(folder) as tree:
        boxes = dict(read_lines(tree, "images_box.txt", _box))
        for split in _LISTS:
            for image, variant in read_lines(tree, f"images_variant_{split}.txt", _label):
                if image not in boxes:
                    raise DataError(
                        f"{folder / 'images_box.txt'} has no box of the image {image:.80}; get a new copy of it."
                    )
                named.setdefault(variant, []).append(FileImage(folder, f"images/{image}.jpg", boxes[image]))
        return complete_listing(card, tree, named, each=_EACH)


def download(folder: Path) -> None:
    """Fetch and unpack the archive (2.6 GB) with torchvision.

    Raises:
        DataError: It cannot be fetched.
    """
    from torchvision.datasets import FGVCAircraft

    fetch("aircraft", FGVCAircraft, folder)


def _box(line: str) -> tuple[str, Box]:
    """The authors count pixels from 1 and include the last; Pillow counts edges from 0."""
    image, left, upper, right, lower = line.split()
    return image, (int(left) - 1, int(upper) - 1, int(right), int(lower))


def _label(line: str) -> tuple[str, str]:
    image, variant = line.split(maxsplit=1)
    if not image.isdecimal():
        raise ValueError("it names no image")
    return image, variant


prepare = listed_source(original)
