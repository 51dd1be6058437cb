"""Addressed sampling of episodes, in NumPy alone.

Episode `i` of a protocol depends on the sampler version, the names and sizes of the classes it draws
from, the protocol and its seed, and on `i`: on nothing else. It is drawn from random words of its own
(`fsbench.episodes.streams`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np

from fsbench.episodes.pool import ClassPool, digest_of
from fsbench.episodes.streams import Integers, Stream, address_key, choose
from fsbench.errors import EpisodeError
from fsbench.setting import setting_of

__all__ = ["SAMPLER", "Episodes", "FixedProtocol", "draw_episodes"]

SAMPLER: Final = "fixed-1"  # raised whenever the same address would give another episode


@dataclass(frozen=True)
class FixedProtocol:
    """Episodes that all have the same way, shot and queries: an `fsbench.episodes.protocol.AnyProtocol`.

    Attributes:
        split: "train", "val" or "test".
        way: Classes per episode.
        shot: Labelled images per class.
        queries: Images to classify per class.
        episodes: How many; a shorter run is a prefix of a longer one.
        seed: Another seed, other episodes.
    """

    kind: ClassVar[str] = "fixed"
    sampler: ClassVar[str] = SAMPLER
    one_shape: ClassVar[bool] = True
    parts_tracks: ClassVar[bool] = True

    split: str
    way: int
    shot: int
    queries: int
    episodes: int
    seed: int

    def identity(self) -> dict[str, Any]:
        """What of it enters the identity of a training."""
        return {
            "split": self.split,
            "way": self.way,
            "shot": self.shot,
            "queries": self.queries,
            "episodes": self.episodes,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        return f"{setting_of(self.way, self.shot)}, {self.queries} queries per class"

    @property
    def at_least(self) -> int:
        """Images that a class must have: shot + queries."""
        return self.shot + self.queries

    @property
    def largest(self) -> tuple[int, int]:
        """Classes of an episode, and images of a class."""
        return self.way, self.at_least

    def most_ways(self, pool: ClassPool) -> int:
        """The way, whatever the pool."""
        return self.way

    def draw(self, pool: ClassPool, start: int = 0, stop: int | None = None) -> Episodes:
        """As `draw_episodes`."""
        return draw_episodes(pool, self, start, stop)


@dataclass(frozen=True)
class Episodes:
    """E episodes as indices into a pack.

    Attributes:
        classes: Labels in the pack, int64 `[E, way]`; the position in this row is the label within the episode.
        support: Image indices, int64 `[E, way, shot]`.
        query: Image indices, int64 `[E, way, queries]`.
        order: The order in which the queries are presented, int64 `[E, way * queries]`: positions in
            the flattened rows of `query`.
    """

    classes: Integers
    support: Integers
    query: Integers
    order: Integers

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, which: slice) -> Episodes:
        return Episodes(self.classes[which], self.support[which], self.query[which], self.order[which])

    @property
    def blocks(self) -> tuple[Episodes]:
        """These episodes, all of one shape."""
        return (self,)

    @property
    def way(self) -> int:
        """Classes per episode."""
        return int(self.classes.shape[1])

    @property
    def shot(self) -> int:
        """Support images per class."""
        return int(self.support.shape[2])

    @property
    def queries(self) -> int:
        """Query images per class."""
        return int(self.query.shape[2])

    @cached_property
    def support_images(self) -> Integers:
        """Support image indices, class by class, `[E, way * shot]`."""
        return self.support.reshape(len(self), -1)

    @cached_property
    def support_labels(self) -> Integers:
        """Labels within the episode of `support_images`, `[E, way * shot]`."""
        return np.tile(np.repeat(np.arange(self.way), self.shot), (len(self), 1))

    @cached_property
    def query_images(self) -> Integers:
        """Query image indices in the order of presentation, `[E, way * queries]`."""
        return np.take_along_axis(self.query.reshape(len(self), -1), self.order, axis=1)

    @cached_property
    def query_labels(self) -> Integers:
        """Labels within the episode of `query_images`, `[E, way * queries]`."""
        return self.order // self.queries

    @property
    def arrays(self) -> Mapping[str, Integers]:
        """The indices by name."""
        return {"classes": self.classes, "support": self.support, "query": self.query, "order": self.order}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all indices."""
        return digest_of(self.arrays.values())


def draw_episodes(pool: ClassPool, protocol: FixedProtocol, start: int = 0, stop: int | None = None) -> Episodes:
    """Draw the episodes `start` to `stop` of a protocol.

    Args:
        pool: The classes to draw from.
        protocol: How to draw; `protocol.episodes` does not enter the draw.
        start: Number of the first episode.
        stop: One past the number of the last episode; default `protocol.episodes`.

    Raises:
        EpisodeError: The pool has too few classes, or a class too few images or tracks.
    """
    way, shot, queries = protocol.way, protocol.shot, protocol.queries
    episodes = range(start, protocol.episodes if stop is None else stop)
    if len(pool.labels) < way:
        raise EpisodeError(
            f"a {way}-way episode needs {way} classes, but the {protocol.split} split has {pool.available}; "
            "lower the way (of the episodes, or of the training that asks for it) or choose another source."
        )
    if int(pool.counts.min()) < shot + queries:
        raise EpisodeError(
            f"{shot} shots and {queries} queries need {shot + queries} images a class, but "
            f"{pool.names[int(pool.counts.argmin())]} has {int(pool.counts.min())}; lower the shot or the queries."
        )
    items, asked = shot + queries, way * queries
    stream = Stream(_key(pool, protocol), words=way + way * items + asked, episodes=episodes)

    chosen = choose(stream, 0, np.full((len(episodes), 1), len(pool.labels)), way)[:, 0]
    if pool.tracks is None:
        drawn = choose(stream, way, pool.counts[chosen], items)
    else:
        _check_tracks(pool, pool.tracks, shot, queries)
        support = choose(stream, way, pool.counts[chosen], shot)
        query = _choose_apart(stream, way + way * shot, pool.tracks, chosen, support, queries)
        drawn = np.concatenate([support, query], axis=2)
    drawn += pool.first[chosen][..., None]
    order = choose(stream, way + way * items, np.full((len(episodes), 1), asked), asked)[:, 0]
    return Episodes(pool.labels[chosen], drawn[..., :shot], drawn[..., shot:], order)


def _key(pool: ClassPool, protocol: FixedProtocol) -> bytes:
    """The address of a protocol on a pool: everything but the episode's number."""
    address = {
        "sampler": SAMPLER,
        "classes": pool.names,
        "counts": pool.counts.tolist(),
        "protocol": [protocol.split, protocol.way, protocol.shot, protocol.queries, protocol.seed],
    }
    if pool.tracks is not None:
        address["tracks"] = digest_of(pool.tracks)
    return address_key(address)


def _check_tracks(pool: ClassPool, tracks: Sequence[Integers], shot: int, queries: int) -> None:
    """Refuse a class whose support could take so many tracks that the rest has too few queries."""
    for name, numbers in zip(pool.names, tracks, strict=True):
        sizes = np.sort(np.unique(numbers, return_counts=True)[1])
        left = int(sizes[:-shot].sum())
        if left < queries:
            raise EpisodeError(
                f"{queries} queries must share no track with {shot} shots, but {name}, with {len(numbers)} images in "
                f"{len(sizes)} tracks, may have only {left} images left; lower the shot or the queries, or let "
                "support and query share tracks."
            )


def _choose_apart(
    stream: Stream, position: int, tracks: Sequence[Integers], chosen: Integers, support: Integers, queries: int
) -> Integers:
    """Choose queries `[E, way, queries]` among the images whose track has none of the support `[E, way, shot]`."""
    others = [
        np.flatnonzero(~np.isin(tracks[label], tracks[label][images]))
        for labels, rows in zip(chosen, support, strict=True)
        for label, images in zip(labels, rows, strict=True)
    ]
    sizes = np.array([len(images) for images in others], dtype=np.int64).reshape(chosen.shape)
    places = choose(stream, position, sizes, queries).reshape(-1, queries)
    query = [images[at] for images, at in zip(others, places, strict=True)]
    return np.array(query, dtype=np.int64).reshape(*chosen.shape, queries)
