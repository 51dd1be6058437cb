"""The files of a pack: opened as they are, refused if they are not what was written."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, NonNegativeInt, ValidationError

from fsbench.data.pack import SPLITS, Pack, Stamp, stamp_of
from fsbench.errors import DataError, first_problem
from fsbench.files.arrays import open_array
from fsbench.files.atomic import sha256_file, sha256_json
from fsbench.files.reading import read_text
from fsbench.files.strict import LongText, Text

__all__ = ["PACK_SCHEMA", "load_pack"]

PACK_SCHEMA = 1


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
        opened: dict[str, Stamp] = {name: stamp_of(folder / name) for name in stored.arrays}
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
        and max(Counter(itertools.chain(*stored.splits.values())).values(), default=1) == 1
    )


def _touched(path: Path) -> int:
    """When a file was last written or put where it is, in ns: one that is copied may keep its older time of change."""
    found = path.stat()
    return max(found.st_mtime_ns, found.st_ctime_ns)
