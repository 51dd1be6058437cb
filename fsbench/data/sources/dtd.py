"""The Describable Textures Dataset (Cimpoi et al., 2014) from `dtd-r1.0.1.tar.gz`, unpacked.

`dtd/images/<texture>/*.jpg`. The authors split all images into three lists in ten ways; the first way is read, and its
lists are joined.
"""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source
from fsbench.data.sources.originals import complete_listing, fetch, find_layout, read_lines
from fsbench.files.tree import open_tree

__all__ = ["download", "original", "prepare"]

_PLACES = ("dtd/dtd", "dtd", "")
_LISTS = ("train", "val", "test")
_EACH = 120  # images of every texture


def original(card: Card, origin: Path) -> Listing | None:
    """The authors' files in a folder: in it, in its `dtd/` or, as torchvision lays them, in its `dtd/dtd/`.

    Raises:
        DataError: A list is missing or damaged, or an image or a texture is missing.
    """
    folder = find_layout(origin, _PLACES, "labels")
    if folder is None:
        return None
    named: dict[str, list[FileImage]] = {}
    with open_tree(folder) as tree:
        for split in _LISTS:
            for texture, file in read_lines(tree, f"labels/{split}1.txt", _image):
                named.setdefault(texture, []).append(FileImage(folder, f"images/{texture}/{file}"))
        return complete_listing(card, tree, named, each=_EACH)


def download(folder: Path) -> None:
    """Fetch and unpack the archive (600 MB) with torchvision, which checks its MD5.

    Raises:
        DataError: It cannot be fetched, or is not what was published.
    """
    from torchvision.datasets import DTD

    fetch("dtd", DTD, folder)


def _image(line: str) -> tuple[str, str]:
    """Texture and file of a line `<texture>/<file>`."""
    texture, file = line.split("/")
    return texture, file


prepare = listed_source(original)
