"""Random words with an address, and unbiased draws from them, in NumPy alone.

The raw 64-bit stream of the Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), which NumPy promises to keep, is read at positions computed from the number of an episode. Integers
come from whole words by rejection, so they are exactly uniform; choices without replacement by a partial
Fisher-Yates shuffle.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fsbench.errors import EpisodeError
from fsbench.files.atomic import sha256_json

__all__ = ["FRACTION_BITS", "Integers", "Stream", "address_key", "choose", "choose_unequal"]

Integers: TypeAlias = npt.NDArray[np.int64]

FRACTION_BITS: Final = 53
_MOST_WORDS: Final = 2**28
_WORDS_A_BLOCK = 4  # Philox 4x64 makes four words a counter value


def address_key(address: dict[str, Any]) -> bytes:
    """The key of a stream: the SHA-256 of everything that decides it but the episode's number."""
    return bytes.fromhex(sha256_json(address))


class Stream:
    """The random words of a run of episodes: a fixed number each, at a position of their own.

    A word that rejection discards is replaced by the word at the same position of the next `round`: a
    part of the counter space that no episode reaches.

    Args:
        key: At least 16 bytes; the first 16 count.
        words: How many words an episode may read.
        episodes: The numbers of the episodes.

    Raises:
        EpisodeError: The words would take too much memory.
    """

    def __init__(self, key: bytes, *, words: int, episodes: range) -> None:
        self._key = np.frombuffer(key[:16], dtype="<u8").astype(np.uint64)
        self._stride = -(-words // _WORDS_A_BLOCK) * _WORDS_A_BLOCK
        self._start = episodes.start
        if (number := len(episodes) * self._stride) > _MOST_WORDS:
            raise EpisodeError(
                f"{len(episodes):,} episodes of {words:,} draws each take {number * 8 / 2**30:,.0f} GiB, and at most "
                f"{_MOST_WORDS * 8 / 2**30:.0f} GiB are drawn at once; ask for fewer or smaller ones."
            )
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

    def fractions(self, position: int, count: int) -> Integers:
        """Uniform numbers in [0, 1) as integers below 2^53, `[E, count]`: the numerators over 2^53."""
        words = self._words[:, position : position + count]
        return (words >> np.uint64(64 - FRACTION_BITS)).astype(np.int64)


def choose(stream: Stream, position: int, sizes: Integers, count: int) -> Integers:
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


def choose_unequal(stream: Stream, position: int, sizes: Integers, counts: Integers) -> list[Integers]:
    """The same choice for a stream of one episode and groups `[G]` with counts of their own.

    Returns for every group int64 `[count]`, from the words at `position` and after, group by group. It holds only
    the items that were moved.
    """
    ends = np.cumsum(counts)
    steps = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    places = (stream.below(position, (np.repeat(sizes, counts) - steps)[None])[0] + steps).tolist()
    chosen = []
    for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
        moved: dict[int, int] = {}
        group = []
        for j, place in enumerate(places[end - count : end]):
            group.append(moved.get(place, place))
            moved[place] = moved.get(j, j)
        chosen.append(np.array(group, dtype=np.int64))
    return chosen
