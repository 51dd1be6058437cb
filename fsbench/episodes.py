"""Addressed sampling of episodes, in NumPy alone.

Episode `i` of a protocol depends on the sampler version, the names and sizes of the classes it draws
from, the protocol and its seed, and on `i`: on nothing else. It is drawn from the raw 64-bit stream of
the Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), which NumPy
promises to keep, at a position computed from `i`. Integers come from whole words by rejection, so they
are exactly uniform; choices without replacement by a partial Fisher-Yates shuffle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fsbench.errors import EpisodeError
from fsbench.files import sha256_json

if TYPE_CHECKING:
    from fsbench.data.pack import Pack

__all__ = ["SAMPLER", "ClassPool", "Episodes", "Integers", "Protocol", "draw_batches", "draw_episodes", "pool_of"]

SAMPLER: Final = "fixed-1"  # raised whenever the same address would give another episode

Integers: TypeAlias = npt.NDArray[np.int64]
_WORDS_A_BLOCK = 4  # Philox 4x64 makes four words a counter value


@dataclass(frozen=True)
class Protocol:
    """How episodes are drawn.

    Attributes:
        split: "train", "val" or "test".
        way: Classes per episode.
        shot: Labelled images per class.
        queries: Images to classify per class.
        episodes: How many; a shorter run is a prefix of a longer one.
        seed: Another seed, other episodes.
    """

    split: str
    way: int
    shot: int
    queries: int
    episodes: int
    seed: int

    def __str__(self) -> str:
        return f"{self.way}-way {self.shot}-shot, {self.queries} queries per class"


@dataclass(frozen=True)
class ClassPool:
    """The classes that episodes are drawn from.

    Attributes:
        names: The class names, `[classes]`; with the counts they are part of every episode's address.
        labels: The label of every class in its pack, int64 `[classes]`.
        first: Index of the first image of every class, int64 `[classes]`.
        counts: Images of every class, int64 `[classes]`.
    """

    names: tuple[str, ...]
    labels: Integers
    first: Integers
    counts: Integers


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

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the shapes and all indices as little-endian 64-bit integers."""
        whole = hashlib.sha256()
        for array in (self.classes, self.support, self.query, self.order):
            whole.update(repr(array.shape).encode())
            whole.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return whole.hexdigest()


def pool_of(pack: Pack, split: str, *, at_least: int = 1) -> ClassPool:
    """The classes of one split of a pack.

    Args:
        pack: A pack.
        split: Its split.
        at_least: Images that every class must have: shot + queries.

    Raises:
        EpisodeError: A class has fewer images; the text names the classes.
    """
    labels = np.asarray(pack.splits[split], dtype=np.int64)
    counts = pack.counts[labels]
    if (counts < at_least).any():
        small = [f"{pack.classes[label]} ({pack.counts[label]})" for label in labels[counts < at_least]]
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        raise EpisodeError(
            f"{pack.source}: shot + queries asks for {at_least} images a class, but the {split} split has classes with "
            f"fewer: {', '.join(small[:5])}{more}; lower the shot or the queries."
        )
    return ClassPool(tuple(pack.classes[label] for label in labels), labels, pack.first[labels], counts)


def draw_episodes(pool: ClassPool, protocol: Protocol, start: int = 0, stop: int | None = None) -> Episodes:
    """Draw the episodes `start` to `stop` of a protocol.

    Args:
        pool: The classes to draw from.
        protocol: How to draw; `protocol.episodes` does not enter the draw.
        start: Number of the first episode.
        stop: One past the number of the last episode; default `protocol.episodes`.

    Raises:
        EpisodeError: The pool has too few classes, or a class too few images.
    """
    way, shot, queries = protocol.way, protocol.shot, protocol.queries
    episodes = range(start, protocol.episodes if stop is None else stop)
    if len(pool.labels) < way:
        raise EpisodeError(
            f"a {way}-way episode needs {way} classes, but the {protocol.split} split has {len(pool.labels)}; "
            "lower the way or choose another source."
        )
    if int(pool.counts.min()) < shot + queries:
        raise EpisodeError(
            f"{shot} shots and {queries} queries need {shot + queries} images a class, but "
            f"{pool.names[int(pool.counts.argmin())]} has {int(pool.counts.min())}; lower the shot or the queries."
        )
    items, asked = shot + queries, way * queries
    stream = _Stream(_key(pool, protocol), words=way + way * items + asked, episodes=episodes)

    chosen = _choose(stream, 0, np.full((len(episodes), 1), len(pool.labels)), way)[:, 0]
    drawn = _choose(stream, way, pool.counts[chosen], items) + pool.first[chosen][..., None]
    order = _choose(stream, way + way * items, np.full((len(episodes), 1), asked), asked)[:, 0]
    return Episodes(pool.labels[chosen], drawn[..., :shot], drawn[..., shot:], order)


def draw_batches(size: int, batch: int, *, seed: int, start: int, stop: int) -> Integers:
    """Draw the training batches `start` to `stop`: `batch` of `size` items each, with replacement.

    Batch `i` depends on (sampler version, size, batch, seed, i) alone. Returns int64 `[stop - start, batch]`.
    """
    key = hashlib.sha256(f"{SAMPLER} batches {size} {batch} {seed}".encode()).digest()
    return _Stream(key, words=batch, episodes=range(start, stop)).below(0, np.full((stop - start, batch), size))


def _key(pool: ClassPool, protocol: Protocol) -> bytes:
    """The address of a protocol on a pool: everything but the episode's number."""
    address = {
        "sampler": SAMPLER,
        "classes": pool.names,
        "counts": pool.counts.tolist(),
        "protocol": [protocol.split, protocol.way, protocol.shot, protocol.queries, protocol.seed],
    }
    return bytes.fromhex(sha256_json(address))


class _Stream:
    """The random words of a run of episodes: a fixed number each, at a position of their own.

    A word that rejection discards is replaced by the word at the same position of the next `round`: a
    part of the counter space that no episode reaches.
    """

    def __init__(self, key: bytes, *, words: int, episodes: range) -> None:
        self._key = np.frombuffer(key[:16], dtype="<u8").astype(np.uint64)
        self._stride = -(-words // _WORDS_A_BLOCK) * _WORDS_A_BLOCK
        self._start = episodes.start
        self._words = self._read(episodes.start * self._stride, len(episodes) * self._stride, 0)
        self._words = self._words.reshape(len(episodes), self._stride)

    def _read(self, position: int, count: int, round_: int) -> npt.NDArray[np.uint64]:
        block, skip = divmod(position, _WORDS_A_BLOCK)
        counter = np.array([block, 0, 0, round_], dtype=np.uint64)
        return np.random.Philox(key=self._key, counter=counter).random_raw(skip + count)[skip:]

    def below(self, position: int, bounds: Integers) -> Integers:
        """Uniform integers below `bounds` `[E, k]` from the words `position` to `position + k`."""
        limits = bounds.astype(np.uint64)
        words = self._words[:, position : position + bounds.shape[1]].copy()
        top = np.uint64(0xFFFFFFFFFFFFFFFF)
        surplus = (
            top % limits + np.uint64(1)
        ) % limits  # 2^64 mod bound: the last words that would favour small values
        for row, column in np.argwhere(words > top - surplus):
            round_ = 1
            while words[row, column] > top - surplus[row, column]:
                address = (self._start + int(row)) * self._stride + position + int(column)
                words[row, column] = self._read(address, 1, round_)[0]
                round_ += 1
        return (words % limits).astype(np.int64)


def _choose(stream: _Stream, position: int, sizes: Integers, count: int) -> Integers:
    """Choose `count` of `sizes` items without replacement, in random order, for every entry of `sizes` `[E, G]`.

    Returns int64 `[E, G, count]`. It is a partial Fisher-Yates shuffle: step j takes the item at place r_j in
    [j, size) and moves the one at place j there. It holds the shuffled items where they are few; where a few
    are chosen of many, it walks back over the earlier steps instead to find what had been moved to a place.
    """
    episodes, groups = sizes.shape
    steps = np.tile(np.arange(count), groups)
    remaining = np.repeat(sizes, count, axis=1) - steps
    places = (stream.below(position, remaining) + steps).reshape(episodes * groups, count)
    chosen = np.empty_like(places)
    largest = int(sizes.max(initial=0))
    if count * count > largest:
        items = np.tile(np.arange(largest), len(places))
        starts = np.arange(len(places)) * largest
        for j in range(count):
            taken = starts + places[:, j]
            chosen[:, j] = items[taken]
            items[taken] = items[starts + j]
    else:
        for j in range(count):
            item = places[:, j].copy()
            for i in range(j - 1, -1, -1):
                np.copyto(item, i, where=item == places[:, i])
            chosen[:, j] = item
    return chosen.reshape(episodes, groups, count)
