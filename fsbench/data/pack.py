"""A pack: a prepared source, its images in one uint8 array sorted by class."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, NonNegativeInt, ValidationError

from fsbench.errors import DataError, first_problem
from fsbench.files.arrays import open_array
from fsbench.files.atomic import sha256_file, sha256_json
from fsbench.files.reading import read_text
from fsbench.files.strict import LongText, Text

__all__ = ["PACK_SCHEMA", "SPLITS", "HasSplits", "Pack", "differing_split", "load_pack"]

PACK_SCHEMA = 1
SPLITS = ("train", "val", "test")
_LOG = logging.getLogger("fsbench")
_Stamp: TypeAlias = tuple[int, int, int]  # inode, size in bytes, time of change in ns


@dataclass(frozen=True)
class Pack:
    """A prepared source.

    Attributes:
        folder: Where it lies.
        source: The name of the source, e.g. "omniglot".
        images: uint8 `[N, C, H, W]`, memory-mapped.
        labels: int64 `[N]`, ascending: the images of a class are neighbours.
        classes: The names of the classes, by label.
        splits: Split name to the labels of its classes, ascending; a split may be empty.
        processing: How the images were made: size, resampling, variant, decoder versions.
        partial: None for a complete source, else what is missing, e.g. "partial (80 per class)".
        tracks: int64 `[N]`: images of a class with the same number show the same object; None: nothing is known of it.
        hierarchy: How classes are drawn together, `{"kind": ..., "nodes": {split: [labels of every node]}}`, as in
            `fsbench.data.listing.Hierarchy`; None: each on its own.
        digest: SHA-256 over everything above but the folder.
        opened: File name to inode, size and time of change of every array when it was opened.
    """

    folder: Path
    source: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[int, ...]]
    processing: Mapping[str, Any]
    partial: str | None
    tracks: npt.NDArray[np.int64] | None
    hierarchy: Mapping[str, Any] | None
    digest: str
    opened: Mapping[str, _Stamp] = field(default_factory=dict)

    @classmethod
    def blank(
        cls,
        source: str,
        images: npt.NDArray[np.uint8],
        classes: int,
        splits: Mapping[str, Sequence[int]],
        *,
        folder: Path = Path(),
        digest: str = "",
    ) -> Pack:
        """A pack that no files stand behind, for what needs the sizes of a source alone.

        Args:
            source: The name of the source.
            images: uint8 `[N, C, H, W]`, spread evenly over the classes in their order.
            classes: How many classes there are; they are called "class 0", "class 1", ...
            splits: Split name to the labels of its classes.
            folder: Where its files would lie.
            digest: Stands for its content.
        """
        return cls(
            folder=folder,
            source=source,
            images=images,
            labels=np.arange(len(images), dtype=np.int64) * classes // len(images),
            classes=tuple(f"class {label}" for label in range(classes)),
            splits={split: tuple(labels) for split, labels in splits.items()},
            processing={},
            partial=None,
            tracks=None,
            hierarchy=None,
            digest=digest,
        )

    def check_unchanged(self) -> None:
        """See that what was computed from the images was computed from those of the digest.

        An array that was removed or replaced is still there for those who have it open; one that was written into
        is not.

        Raises:
            DataError: Something has written into an array since it was opened.
        """
        for name, stamp in self.opened.items():
            with suppress(FileNotFoundError):
                now = _stamp(self.folder / name)
                if now[0] == stamp[0] and now != stamp:
                    raise DataError(
                        f"{name} of the pack in {self.folder} was changed while it was in use; delete the folder, "
                        "prepare the source again and run again with --fresh."
                    )

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Images of every class, int64 `[classes]`."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def first(self) -> npt.NDArray[np.int64]:
        """Index of the first image of every class, int64 `[classes]`."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    @cached_property
    def names(self) -> npt.NDArray[np.str_]:
        """The name of every image, as its authors have it, `[N]`.

        Raises:
            DataError: They are damaged.
        """
        return self.names_of(slice(None))

    def names_of(self, images: npt.NDArray[np.int64] | slice) -> npt.NDArray[np.str_]:
        """The names of some images, as their authors have them; no others are read.

        Raises:
            DataError: They are damaged, or no longer those of this pack.
        """
        try:
            names = open_array(self.folder / "names.npy")
            if names.dtype.kind != "U" or names.shape != self.labels.shape:
                raise ValueError("they are no names, or not as many as there are images")
            names = np.array(names[images])
            "".join(names.tolist()).encode()  # not every number is a letter
        except ValueError as error:
            raise DataError(
                f"the names in {self.folder} cannot be read ({error}); delete it and prepare the source again."
            ) from error
        if self.opened and _stamp(self.folder / "names.npy") != self.opened["names.npy"]:
            raise DataError(
                f"the pack in {self.folder} was prepared again while it was in use; run the same command again."
            )
        return names


def load_pack(folder: Path, *, verify: bool = False) -> Pack:
    """Open a pack.

    Args:
        folder: Where it lies.
        verify: Also read the arrays and compare their hashes (seconds for a large pack). This is also done if one
            is younger than `pack.json`, as it is when something has written into it or put another in its place.

    Raises:
        DataError: There is no pack, or it is damaged.
    """
    remedy = f"delete {folder} and prepare the source again."
    try:
        content = json.loads(read_text(folder / "pack.json"))
        digest = content.pop("digest")
        if sha256_json(content) != digest:
            raise DataError(f"the pack in {folder} is damaged (pack.json does not match its own hash); {remedy}")
        if content["schema"] != PACK_SCHEMA:
            raise DataError(f"the pack in {folder} has schema {content['schema']}, not {PACK_SCHEMA}; {remedy}")
        stored = _Stored.model_validate(content)
        vouched = _touched(folder / "pack.json")  # written after the arrays, and touched when they are verified
        younger = any(_touched(folder / name) > vouched for name in stored.arrays)
        opened: dict[str, _Stamp] = {name: _stamp(folder / name) for name in stored.arrays}
        images = open_array(folder / "images.npy")
        labels = np.array(open_array(folder / "labels.npy"))
        tracks = np.array(open_array(folder / "tracks.npy")) if "tracks.npy" in stored.arrays else None
    except ValidationError as error:
        problem = f"pack.json: {first_problem(error)}"
        raise DataError(f"the pack in {folder} cannot be read ({problem}); {remedy}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"the pack in {folder} cannot be read ({error}); {remedy}") from error
    if not _fit(stored, images, labels, tracks):
        raise DataError(f"the pack in {folder} is damaged (its arrays do not fit pack.json); {remedy}")
    if verify or younger:
        for name, expected in stored.arrays.items():
            if sha256_file(folder / name) != expected:
                raise DataError(f"the pack in {folder} is damaged ({name} does not match its hash); {remedy}")
        with suppress(OSError):  # a cache that cannot be written is verified every time
            os.utime(folder / "pack.json")
    return Pack(
        folder=folder,
        source=stored.source,
        images=images,
        labels=labels,
        classes=stored.classes,
        splits=dict(stored.splits),
        processing=stored.processing,
        partial=stored.partial,
        tracks=tracks,
        hierarchy=None if stored.hierarchy is None else stored.hierarchy.model_dump(),
        digest=digest,
        opened=opened,
    )


class HasSplits(Protocol):
    """A pack, or what will be one."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, by label."""

    @property
    def splits(self) -> Mapping[str, Sequence[int]]:
        """Split name to the labels of its classes."""


def differing_split(first: HasSplits, second: HasSplits) -> str | None:
    """The first split whose classes, in their order, two packs of a source do not share; None: they share all."""
    for split in SPLITS:
        ours, theirs = ([pack.classes[label] for label in pack.splits.get(split, ())] for pack in (first, second))
        if ours != theirs:
            return split
    return None


class _Nodes(BaseModel):
    kind: Literal["superclasses", "graph"]
    nodes: dict[str, list[list[NonNegativeInt]]]


class _Stored(BaseModel):
    """What `pack.json` says, but for its schema and its digest."""

    source: Text
    classes: tuple[str, ...]
    splits: dict[str, tuple[NonNegativeInt, ...]]
    counts: list[NonNegativeInt]
    processing: dict[str, Any]
    partial: LongText | None
    arrays: dict[Literal["images.npy", "labels.npy", "names.npy", "tracks.npy"], str]
    hierarchy: _Nodes | None = None


def _fit(stored: _Stored, images: npt.NDArray[Any], labels: npt.NDArray[Any], tracks: npt.NDArray[Any] | None) -> bool:
    """Whether arrays are what `pack.json` says, and it names no class that there is not."""
    number = len(stored.classes)
    nodes = stored.hierarchy.nodes.values() if stored.hierarchy else ()
    named = itertools.chain(*stored.splits.values(), *itertools.chain.from_iterable(nodes))
    numbered = [labels] if tracks is None else [labels, tracks]
    return (
        stored.splits.keys() == set(SPLITS)
        and images.dtype == np.uint8
        and images.ndim == 4
        and all(array.dtype == np.int64 and array.shape == images.shape[:1] for array in numbered)
        and bool((np.diff(labels) >= 0).all())
        and (not labels.size or (labels[0] >= 0 and labels[-1] < number))
        and np.bincount(labels, minlength=number).tolist() == stored.counts
        and all(label < number for label in named)
    )


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _touched(path: Path) -> int:
    """When a file was last written or put where it is, in ns: one that is copied may keep its older time of change."""
    found = path.stat()
    return max(found.st_mtime_ns, found.st_ctime_ns)
