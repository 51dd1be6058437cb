"""Addressed draws for training: of one of several sources, and of the images of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fsbench.episodes.fixed import SAMPLER
from fsbench.episodes.streams import Integers, Stream

__all__ = ["draw_mixed_batches", "draw_sources"]


def draw_sources(number: int, *, seed: int, start: int, stop: int) -> Integers:
    """Draw one of `number` sources, uniformly, for each of the training episodes `start` to `stop`.

    The draw `i` depends on (sampler version, number, seed, i) alone. Returns int64 `[stop - start]`.
    """
    key = hashlib.sha256(f"{SAMPLER} sources {number} {seed}".encode()).digest()
    return Stream(key, words=1, episodes=range(start, stop)).below(0, np.full((stop - start, 1), number))[:, 0]


def draw_mixed_batches(
    sizes: Sequence[int], batch: int, *, seed: int, start: int, stop: int
) -> tuple[Integers, Integers]:
    """Draw the training batches `start` to `stop` from several sources: for each item its source, then the item.

    Both draws are uniform and with replacement. Batch `i` depends on (sampler version, sizes, batch, seed, i) alone.

    Args:
        sizes: Items of every source.
        batch: Items of a batch.
        seed: Another seed, other batches.
        start: Number of the first batch.
        stop: One past the number of the last batch.

    Returns:
        The source of every item, and its position within the source, both int64 `[stop - start, batch]`.
    """
    sources = draw_sources(len(sizes), seed=seed, start=start * batch, stop=stop * batch).reshape(-1, batch)
    key = hashlib.sha256(f"{SAMPLER} batches {'+'.join(map(str, sizes))} {batch} {seed}".encode()).digest()
    stream = Stream(key, words=batch, episodes=range(start, stop))
    return sources, stream.below(0, np.asarray(sizes, dtype=np.int64)[sources])
