"""The instances of MS COCO 2017 (Lin et al., 2014) from `instances_train2017.json` and `train2017/`.

Every instance, crowds and the smallest ones too, is an image of its own: as in Meta-Dataset its box, 1.2 times as wide
and as high about the same centre, cut off at the edges of the photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path, PurePosixPath

from fsbench.data.card import Card
from fsbench.data.coco import Label, read_labels
from fsbench.data.images import Box
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source, read_lists
from fsbench.data.sources.originals import check_names, find_layout
from fsbench.errors import DataError
from fsbench.files.tree import open_tree

__all__ = ["InstanceImage", "original", "prepare"]

_ANNOTATIONS = "instances_train2017.json"
_SCALE = 1.2  # of the sides of a box
_LARGEST = 1e9  # pixels


@dataclass(frozen=True, kw_only=True)
class InstanceImage(FileImage):
    """The box of an instance; two instances can have the same.

    Attributes:
        annotation: COCO's id of it.
    """

    annotation: int

    @property
    def name(self) -> str:
        """The name of the photograph and the id of the instance."""
        return f"{PurePosixPath(self.file).name}#{self.annotation}"


def original(card: Card, origin: Path) -> Listing | None:
    """COCO's files in a folder: the annotations in it or in its `annotations/`, the photographs as folder or zip.

    Raises:
        DataNotFoundError: The annotations are there, but no photographs.
        DataError: The annotations are damaged, a photograph or a class is missing, or a box lies outside of its
            photograph.
    """
    folder = find_layout(origin, ("annotations", ""), _ANNOTATIONS)
    if folder is None:
        return None
    photographs = find_layout(origin, ("train2017", "train2017.zip"))
    if photographs is None:
        raise card.not_found("train2017", (origin,))
    path = folder / _ANNOTATIONS
    inside = "" if photographs.is_dir() else "train2017/"
    with open_tree(photographs) as tree:
        there = set(tree.files)
    named: dict[str, list[InstanceImage]] = {}
    for label in read_labels(path):
        file, annotation = inside + label.picture.file_name, label.annotation.id
        if file not in there:
            raise DataError(
                f"{path}: annotation {annotation} names {file}, which is not in {photographs}; get a new copy."
            )
        image = InstanceImage(photographs, file, _enlarged(path, label), annotation=annotation)
        named.setdefault(label.category.name, []).append(image)
    expected = [name for names in read_lists(card.folder / "splits.toml").values() for name in names]
    check_names(path, "classes", expected, named)
    return Listing({name: sorted(images, key=attrgetter("file", "annotation")) for name, images in named.items()})


def _enlarged(path: Path, label: Label) -> Box:
    """The pixels of an instance, rounded as Meta-Dataset rounds; COCO counts middles of pixels, Pillow their edges."""
    _, picture, _ = label
    if label.annotation.bbox is None:
        raise DataError(f"{path}: annotation {label.annotation.id} has no box; get a new copy.")
    left, upper, width, height = (max(-_LARGEST, min(side, _LARGEST)) for side in label.annotation.bbox)
    left -= width * (_SCALE - 1) / 2
    upper -= height * (_SCALE - 1) / 2
    box = (
        max(round(left - 0.5), 0),
        max(round(upper - 0.5), 0),
        min(round(left + width * _SCALE - 0.5) + 1, picture.width),
        min(round(upper + height * _SCALE - 0.5) + 1, picture.height),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise DataError(
            f"{path}: the box {list(label.annotation.bbox)} of annotation {label.annotation.id} lies outside of its "
            f"{picture.width}x{picture.height} photograph; get a new copy."
        )
    return box


prepare = listed_source(original)
