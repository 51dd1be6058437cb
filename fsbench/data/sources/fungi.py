"""FGVCx Fungi 2018 (Schroeder and Cui) from `fungi_train_val.tgz` and `train_val_annotations.tgz`, unpacked.

`images/` and, in COCO's form, `train.json` and `val.json`, which are joined here. As some species have the same name
as another, Meta-Dataset puts the id of the category before it: `0226.Cortinarius malicorius`.
"""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.coco import read_labels
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source
from fsbench.data.sources.originals import complete_listing, find_layout
from fsbench.files.tree import open_tree

__all__ = ["original", "prepare"]

_PLACES = ("", "train_val_annotations")


def original(card: Card, origin: Path) -> Listing | None:
    """The authors' files in a folder, the annotations in it or in its `train_val_annotations/`.

    Raises:
        DataError: Annotations are missing or damaged, or an image or a species is missing.
    """
    folder = find_layout(origin, _PLACES, "train.json")
    if folder is None:
        return None
    named: dict[str, list[FileImage]] = {}
    for part in ("train.json", "val.json"):
        for label in read_labels(folder / part):
            name = f"{label.category.id:04}.{label.category.name}"
            named.setdefault(name, []).append(FileImage(origin, label.picture.file_name))
    with open_tree(origin) as tree:
        return complete_listing(card, tree, named)


prepare = listed_source(original)
