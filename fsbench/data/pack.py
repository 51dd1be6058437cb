"""A pack: a prepared source, its images in one uint8 array sorted by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fsbench.errors import DataError
from fsbench.files.arrays import open_array

__all__ = ["SPLITS", "HasSplits", "Pack", "Stamp", "differing_split", "stamp_of"]

SPLITS = ("train", "val", "test")
Stamp: TypeAlias = tuple[int, int, int]  # of a file: inode, size in bytes, time of change in ns


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
    opened: Mapping[str, Stamp] = field(default_factory=dict)

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
                now = stamp_of(self.folder / name)
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
        if self.opened and stamp_of(self.folder / "names.npy") != self.opened["names.npy"]:
            raise DataError(
                f"the pack in {self.folder} was prepared again while it was in use; run the same command again."
            )
        return names


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


def stamp_of(path: Path) -> Stamp:
    """What tells whether a file is still the one that it was."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
