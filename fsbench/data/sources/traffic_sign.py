"""The German Traffic Sign Recognition Benchmark (Stallkamp et al., 2012), from its unpacked final training images.

`GTSRB_Final_Training_Images.zip` holds `GTSRB/Final_Training/Images/<class>/<track>_<frame>.ppm`, classes being
numbered from 00000, with a table `GT-<class>.csv` of the images in every folder. The 30 frames of a track show one
physical sign. Meta-Dataset's names of the classes start with their numbers: "00.Speed limit (20km/h)".

The training images of the online competition, which torchvision fetches, are a part of these; they are accepted and
make a partial source.
"""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source, read_lists
from fsbench.data.sources.originals import complete_listing, find_layout, read_lines
from fsbench.errors import DataError
from fsbench.files.tree import Tree, open_tree

__all__ = ["original", "prepare"]

_PLACES = tuple(
    f"{above}{part}" for part in ("Final_Training/Images", "Training") for above in ("GTSRB/", "", "gtsrb/GTSRB/")
)


def original(card: Card, origin: Path) -> Listing | None:
    """The authors' files in a folder: in it, in its `GTSRB/` or, as torchvision lays them, in its `gtsrb/GTSRB/`.

    Raises:
        DataError: A table is missing or damaged, or an image or a class is missing.
    """
    folder = find_layout(origin, _PLACES)
    if folder is None:
        return None
    splits = read_lists(card.folder / "splits.toml")
    folders = {f"{int(name[:2]):05}": name for names in splits.values() for name in names}
    with open_tree(folder) as tree:
        named = {
            name: [FileImage(folder, f"{number}/{file}") for file in _files(tree, number)]
            for number, name in folders.items()
        }
        return complete_listing(card, tree, named)


def _files(tree: Tree, number: str) -> list[str]:
    """The images in the table of a class."""
    table = f"{number}/GT-{number}.csv"
    header, *rows = read_lines(tree, table, _row)
    if header != ("Filename", "ClassId") or any(label != str(int(number)) for _, label in rows):
        raise DataError(f"{tree.path / table} is not the table of the class {number}; get a new copy of it.")
    return [file for file, _ in rows]


def _row(line: str) -> tuple[str, str]:
    """The first and the last cell."""
    file, *_, label = line.split(";")
    return file, label


prepare = listed_source(original, by_number=True)
