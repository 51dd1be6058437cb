"""Caltech-UCSD Birds-200-2011 (Wah et al., 2011) from `CUB_200_2011.tgz`, unpacked.

`CUB_200_2011/images/<species>/*.jpg`, all of them in the list `images.txt`. The whole image is kept, as in
Meta-Dataset.
"""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source
from fsbench.data.sources.originals import complete_listing, find_layout, read_lines
from fsbench.files.tree import open_tree

__all__ = ["original", "prepare"]

_PLACES = ("CUB_200_2011", "")


def original(card: Card, origin: Path) -> Listing | None:
    """The authors' files in a folder: in it or in its `CUB_200_2011/`.

    Raises:
        DataError: The list is damaged, or an image or a species is missing.
    """
    folder = find_layout(origin, _PLACES, "images.txt")
    if folder is None:
        return None
    named: dict[str, list[FileImage]] = {}
    with open_tree(folder) as tree:
        for species, file in read_lines(tree, "images.txt", _image):
            named.setdefault(species, []).append(FileImage(folder, f"images/{species}/{file}"))
        return complete_listing(card, tree, named)


def _image(line: str) -> tuple[str, str]:
    """Species and file of a line `<number> <species>/<file>`."""
    _, name = line.split()
    species, file = name.split("/")
    return species, file


prepare = listed_source(original)
