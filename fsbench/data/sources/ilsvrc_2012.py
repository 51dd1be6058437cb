"""ILSVRC 2012 (Russakovsky et al., 2015), the 1000 classes of ImageNet, from its train folder: `<WordNet id>/*.JPEG`.

The folder has 1,281,167 images. As in Meta-Dataset, 403 of them are left out that are also in Caltech101, Caltech256 or
CUB-200-2011, so that no test image of a source of birds is trained on; `duplicates.toml` beside the card lists them.

Meta-Dataset's `dataset_spec.json` for ILSVRC, where it lies beside the train folder, gives the hierarchy of classes.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import RootModel

from fsbench.data.card import Card, read_toml
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source
from fsbench.data.specification import read_specification
from fsbench.files.tree import open_tree

__all__ = ["original", "prepare", "train_images"]

_PLACES = ("train", "ILSVRC2012_img_train", "ILSVRC/Data/CLS-LOC/train", "")  # the last: the train folder itself


class _Duplicates(RootModel[dict[str, list[int]]]):
    """WordNet id to the numbers of some of its images."""


def original(card: Card, origin: Path) -> Listing | None:
    """The train folder in a folder, without the images that Meta-Dataset leaves out.

    Raises:
        DataError: The specification beside it is damaged.
    """
    found = train_images(origin)
    if found is None:
        return None
    duplicates = read_toml(card.folder / "duplicates.toml", _Duplicates).root
    left_out = {f"{wnid}/{wnid}_{number}.JPEG" for wnid, numbers in duplicates.items() for number in numbers}
    kept = {wnid: [image for image in images if image.file not in left_out] for wnid, images in found.items()}
    specification = origin / "dataset_spec.json"
    return Listing(kept, hierarchy=read_specification(specification).hierarchy if specification.is_file() else None)


def train_images(origin: Path) -> dict[str, list[FileImage]] | None:
    """All images of ILSVRC's train folder by WordNet id, in the order of their names; None if it is not in `origin`."""
    for folder in (origin / place for place in _PLACES):
        if not any(folder.glob("n????????/n????????_*.JPEG")):
            continue
        with open_tree(folder) as tree:
            found: dict[str, list[FileImage]] = {name: [] for name in tree.folders if re.fullmatch(r"n\d{8}", name)}
            for file in tree.files:
                if match := re.fullmatch(r"(n\d{8})/\1_\d+\.JPEG", file):
                    found[match[1]].append(FileImage(folder, file))
        return found
    return None


prepare = listed_source(original)
