"""From what a source module found to the files of a pack."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fsbench.data.decoding import Undecoded
from fsbench.data.listing import Hierarchy, ImageItem
from fsbench.data.pack import SPLITS, Pack
from fsbench.data.pack_files import PACK_SCHEMA, load_pack
from fsbench.errors import DataError, OutputError
from fsbench.files.atomic import atomic_path, make_folder, sha256_file, sha256_json, write_atomic

__all__ = ["Prepared", "write_pack"]

_LOG = logging.getLogger("fsbench")


@dataclass(frozen=True)
class Prepared:
    """What a source module hands over to be packed: the same fields as `Pack`, images sorted by class.

    The images are in memory, or still undecoded where they may be too many for that. A hierarchy may name classes
    that the source does not have; they are dropped.
    """

    images: npt.NDArray[np.uint8] | Undecoded
    labels: npt.NDArray[np.int64]
    names: Sequence[str]
    classes: Sequence[str]
    splits: Mapping[str, Sequence[int]]
    processing: Mapping[str, Any]
    partial: str | None = None
    tracks: Sequence[int] | None = None
    hierarchy: Hierarchy | None = None

    @classmethod
    def of_items(
        cls,
        classes: Mapping[str, Sequence[ImageItem]],
        splits: Mapping[str, Sequence[int]],
        processing: Mapping[str, Any],
        *,
        size: int,
        channels: int,
        skip_unreadable: bool = False,
        otherwise: str = "",
    ) -> Prepared:
        """Images that are listed and not yet decoded.

        Args:
            classes: Class name to its images, in the order in which they are packed.
            splits: Split to the labels of its classes.
            processing: How the images are made.
            size: Height and width, pixels.
            channels: 1 (grey) or 3 (RGB).
            skip_unreadable: Leave out, list and count unreadable images instead of stopping at the first.
            otherwise: How to leave them out, as the end of a sentence.
        """
        items = [item for members in classes.values() for item in members]
        return cls(
            images=Undecoded(items, size, channels, skip_unreadable, otherwise),
            labels=np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()]),
            names=[item.name for item in items],
            classes=list(classes),
            splits=splits,
            processing=processing,
        )

    def without(self, skipped: Sequence[int]) -> Prepared:
        """The same without some images that cannot be read, which makes it partial.

        Raises:
            DataError: A class has no other image.
        """
        if not skipped:
            return self
        kept = np.delete(np.arange(len(self.labels)), skipped).tolist()
        labels = self.labels[kept]
        for name, number in zip(self.classes, np.bincount(labels, minlength=len(self.classes)), strict=True):
            if number == 0:
                raise DataError(f"the class {name!r} has no readable image; take its folder away.")
        _LOG.warning("%s unreadable images skipped of %s", f"{len(skipped):,}", f"{len(self.labels):,}")
        return replace(
            self,
            labels=labels,
            names=[self.names[number] for number in kept],
            processing={**self.processing, "skipped": [self.names[number] for number in skipped]},
            partial=f"partial ({len(skipped)} unreadable images skipped)",
            tracks=None if self.tracks is None else [self.tracks[number] for number in kept],
        )


def write_pack(folder: Path, source: str, prepared: Prepared) -> Pack:
    """Write a pack; `pack.json` goes before an array is replaced and comes last: a folder without it is no pack.

    Raises:
        DataError: The arrays do not fit each other, or an image cannot be decoded.
        OutputError: The folder cannot be written.
    """
    _check(source, prepared)
    images = prepared.images
    make_folder(folder)
    with atomic_path(folder / "images.npy") as temporary:  # which first removes what a try that was killed has left
        needed, free = math.prod(images.shape), shutil.disk_usage(folder).free
        if needed > free:
            raise OutputError(
                f"the images of {source} take {needed:,} bytes, and {folder} has {free:,} left; choose a smaller size, "
                "fewer images, or another cache with FSBENCH_CACHE."
            )
        if isinstance(prepared.images, Undecoded):
            prepared = prepared.without(_write_images(temporary, prepared.images))
        else:
            _write_array(temporary, prepared.images)
        (folder / "pack.json").unlink(missing_ok=True)
    labels = prepared.labels.astype(np.int64)
    arrays = {"labels.npy": labels, "names.npy": np.asarray(prepared.names, dtype=np.str_)}
    if prepared.tracks is not None:
        arrays["tracks.npy"] = np.asarray(prepared.tracks, dtype=np.int64)
    for name, array in arrays.items():
        with atomic_path(folder / name) as temporary:
            _write_array(temporary, array)
    content: dict[str, Any] = {
        "schema": PACK_SCHEMA,
        "source": source,
        "classes": list(prepared.classes),
        "splits": {split: [int(label) for label in prepared.splits.get(split, ())] for split in SPLITS},
        "counts": np.bincount(labels, minlength=len(prepared.classes)).tolist(),
        "processing": dict(prepared.processing),
        "partial": prepared.partial,
        "arrays": {name: sha256_file(folder / name) for name in ("images.npy", *arrays)},
    }
    if prepared.hierarchy is not None:
        content["hierarchy"] = _by_label(prepared.hierarchy, prepared.classes)
    content["digest"] = sha256_json(content)
    write_atomic(folder / "pack.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return load_pack(folder)


def _check(source: str, prepared: Prepared) -> None:
    """See that the images, classes and splits of a pack fit each other, and nothing is there twice."""
    images, labels, names = prepared.images, prepared.labels, prepared.names
    if len(images) != len(labels) or len(names) != len(labels):
        raise DataError(f"{source}: {len(images)} images, {len(labels)} labels and {len(names)} names do not fit.")
    if prepared.tracks is not None and len(prepared.tracks) != len(labels):
        raise DataError(f"{source}: {len(labels)} labels and {len(prepared.tracks)} tracks do not fit.")
    if (np.diff(labels) < 0).any():
        raise DataError(f"{source}: the images must be sorted by class.")
    members = [label for split in prepared.splits.values() for label in split]
    if not {*members, *labels.tolist()} <= {*range(len(prepared.classes))}:
        raise DataError(f"{source}: a label names none of the {len(prepared.classes)} classes.")
    for what, given in (
        ("name of a class", prepared.classes),
        ("class in the splits", [prepared.classes[label] for label in members]),
        ("name of an image of a class", [f"{prepared.classes[c]}: {n}" for c, n in zip(labels, names, strict=True)]),
    ):
        if twice := [name for name, times in Counter(given).items() if times > 1]:
            raise DataError(f"{source}: a {what} is there twice, {twice[0]!r}.")


def _write_images(path: Path, images: Undecoded) -> list[int]:
    """Decode images straight into the file of an array; returns the numbers of those that were skipped."""
    skipped: list[int] = []
    with path.open("wb") as file:

        def write_header(number: int) -> None:  # of one length for every number
            shape = (number, *images.shape[1:])
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})

        write_header(len(images))
        for start, (decoded, unreadable) in images.decode():
            file.write(decoded.tobytes())
            for place, problem in unreadable.items():
                _LOG.warning("skipped: %s", problem)
                skipped.append(start + place)
        if skipped:
            file.seek(0)
            write_header(len(images) - len(skipped))
    return skipped


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)


def _by_label(hierarchy: Hierarchy, classes: Sequence[str]) -> dict[str, Any]:
    """A hierarchy with labels instead of names, without nodes that have no class here."""
    label = {name: index for index, name in enumerate(classes)}
    nodes = {
        split: [found for node in some if (found := sorted(label[name] for name in node if name in label))]
        for split, some in hierarchy.nodes.items()
    }
    return {"kind": hierarchy.kind, "nodes": nodes}
