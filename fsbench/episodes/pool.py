"""The classes that episodes are drawn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fsbench.episodes.streams import Integers
from fsbench.errors import EpisodeError

if TYPE_CHECKING:
    from fsbench.data.pack import Pack

__all__ = ["ClassPool", "PoolHierarchy", "digest_of", "pool_of"]


@dataclass(frozen=True)
class PoolHierarchy:
    """Which classes of a pool belong together, for `fsbench.episodes.variable`.

    Attributes:
        kind: "superclasses" or "graph", as in `fsbench.data.listing.Hierarchy`.
        nodes: The classes of every superclass or inner node, int64 positions within the pool.
    """

    kind: str
    nodes: tuple[Integers, ...]


@dataclass(frozen=True)
class ClassPool:
    """The classes that episodes are drawn from.

    Attributes:
        names: The class names, `[classes]`; with the counts they are part of every episode's address.
        labels: The label of every class in its pack, int64 `[classes]`.
        first: Index of the first image of every class, int64 `[classes]`.
        counts: Images of every class, int64 `[classes]`.
        left_out: How many classes of the split are not in the pool, having too few images.
        tracks: The track of every image of every class, `[classes]` of int64 `[images]`, where support and query
            must not share one; else None.
        hierarchy: How classes belong together; None: each on its own.
    """

    names: tuple[str, ...]
    labels: Integers
    first: Integers
    counts: Integers
    left_out: int = 0
    tracks: tuple[Integers, ...] | None = None
    hierarchy: PoolHierarchy | None = None

    @property
    def available(self) -> str:
        """How many classes there are, for a sentence."""
        return f"{len(self.labels)} large enough" if self.left_out else str(len(self.labels))


def digest_of(arrays: Iterable[Integers]) -> str:
    """SHA-256 over the shapes and all numbers of some arrays, as little-endian 64-bit integers."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(repr(array.shape).encode())
        whole.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return whole.hexdigest()


def pool_of(
    pack: Pack, split: str, *, at_least: int = 1, leave_out: bool = False, tracks_apart: bool = False
) -> ClassPool:
    """The classes of one split of a pack.

    Args:
        pack: A pack.
        split: Its split.
        at_least: Images that a class must have: shot + queries.
        leave_out: Leave out the classes with fewer, and count them, instead of stopping.
        tracks_apart: Support and query of an episode of fixed shape shall not share a track, if tracks are known.

    Raises:
        EpisodeError: A class has fewer images and may not be left out; the text names the classes.
    """
    members = np.asarray(pack.splits[split], dtype=np.int64)
    enough = pack.counts[members] >= at_least
    if not leave_out and not enough.all():
        small = [f"{pack.classes[label]} ({pack.counts[label]})" for label in members[~enough]]
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        raise EpisodeError(
            f"an episode needs {at_least} images a class, but the {split} split of {pack.source} has classes with "
            f"fewer: {', '.join(small[:5])}{more}; lower the shot or the queries, or leave such classes out."
        )
    labels = members[enough]
    first, counts = pack.first[labels], pack.counts[labels]
    tracks = None
    if tracks_apart and pack.tracks is not None:
        tracks = tuple(pack.tracks[start : start + count] for start, count in zip(first, counts, strict=True))
    return ClassPool(
        names=tuple(pack.classes[label] for label in labels),
        labels=labels,
        first=first,
        counts=counts,
        left_out=len(members) - len(labels),
        tracks=tracks,
        hierarchy=_hierarchy_of(pack, split, labels),
    )


def _hierarchy_of(pack: Pack, split: str, labels: Integers) -> PoolHierarchy | None:
    if pack.hierarchy is None:
        return None
    position = {label: index for index, label in enumerate(labels.tolist())}
    nodes = (
        np.array([position[label] for label in node if label in position], dtype=np.int64)
        for node in pack.hierarchy["nodes"].get(split, ())
    )
    return PoolHierarchy(pack.hierarchy["kind"], tuple(nodes))
