"""Pooled episodes: one pool of images a training step, split into support and query many times.

To embed images is nearly all that an episode costs a method that compares features, so a step embeds the images of a
pool of classes once and answers several tasks on them. The pool of step `i` is episode `i` of the protocol with all
of the pool's classes. Split 0 is as that episode was drawn; every further split draws again the order of the classes,
which images of a class are its support, and the order of the queries. A split is cut into as many tasks as the pool
has ways: their classes are disjoint.

Split `k` of step `i` depends on the sampler version, the protocol, the number of classes, `i` and `k` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import ClassPool, digest_of
from fsbench.episodes.streams import Integers, Stream, address_key, choose
from fsbench.errors import EpisodeError

__all__ = ["SAMPLER", "PooledEpisodes", "draw_pooled"]

SAMPLER: Final = "pooled-1"  # raised whenever the same address would give another split


@dataclass(frozen=True)
class PooledEpisodes:
    """P pools of N images with B tasks each; task after task of split after split.

    Attributes:
        images: Image indices, int64 `[P, N]`.
        support: Positions in the rows of `images`, class by class, int64 `[P, B, way * shot]`.
        query: Positions likewise, in the order of presentation, int64 `[P, B, way * queries]`.
        support_labels: Labels within the task, int64 of the shape of `support`.
        query_labels: Labels within the task, int64 of the shape of `query`.
        way: Classes per task.
    """

    images: Integers
    support: Integers
    query: Integers
    support_labels: Integers
    query_labels: Integers
    way: int

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all indices and labels."""
        return digest_of((self.images, self.support, self.query, self.support_labels, self.query_labels))


def draw_pooled(
    pool: ClassPool, protocol: FixedProtocol, *, classes: int, tasks: int, start: int, stop: int
) -> PooledEpisodes:
    """Draw the pools of the steps `start` to `stop` with their tasks.

    Args:
        pool: The classes to draw from.
        protocol: Of the tasks; `protocol.episodes` does not enter the draw.
        classes: Of a pool: a multiple of the protocol's way.
        tasks: Of a pool: a multiple of `classes / way`.
        start: Number of the first step.
        stop: One past the number of the last step.

    Raises:
        EpisodeError: There are too few classes, or a class has too few images, or support and query shall not share
            a track, which splits of the same images cannot promise.
    """
    if pool.tracks is not None:
        raise EpisodeError(
            "support and query shall share no track, but the splits of a pool mix all of its images; let them share "
            "tracks, or leave `pool` out."
        )
    way, shot, queries = protocol.way, protocol.shot, protocol.queries
    whole = replace(protocol, way=classes)
    drawn = draw_episodes(pool, whole, start, stop)
    items = shot + queries
    steps, groups = len(drawn), classes // way
    labels = np.broadcast_to(np.repeat(np.arange(way), shot), (steps, groups, way * shot))

    support, query, query_labels = [], [], []
    natural = np.arange(classes * items).reshape(1, classes, items).repeat(steps, axis=0)
    splits = [(natural, drawn.order), *_further_splits(whole, tasks // groups, start, stop)]
    for positions, order in splits:
        support.append(positions[..., :shot].reshape(steps, groups, way * shot))
        own = np.argsort(order // (way * queries), axis=1, kind="stable")  # every task's queries, in their order
        order = np.take_along_axis(order, own, axis=1)
        asked = np.take_along_axis(positions[..., shot:].reshape(steps, -1), order, axis=1)
        query.append(asked.reshape(steps, groups, way * queries))
        query_labels.append((order // queries % way).reshape(steps, groups, way * queries))
    return PooledEpisodes(
        images=np.concatenate([drawn.support, drawn.query], axis=2).reshape(steps, -1),
        support=np.concatenate(support, axis=1),
        query=np.concatenate(query, axis=1),
        support_labels=np.concatenate([labels] * len(splits), axis=1),
        query_labels=np.concatenate(query_labels, axis=1),
        way=way,
    )


def _further_splits(whole: FixedProtocol, splits: int, start: int, stop: int) -> Iterator[tuple[Integers, Integers]]:
    """Of every split but the first: positions `[P, classes, items]` in a pool, and the order of the queries."""
    classes, items, asked = whole.way, whole.shot + whole.queries, whole.way * whole.queries
    steps = range(start, stop)
    for split in range(1, splits):
        address = [whole.split, classes, whole.shot, whole.queries, whole.seed]
        key = address_key({"sampler": SAMPLER, "protocol": address, "split": split})
        stream = Stream(key, words=classes + classes * items + asked, episodes=steps)
        chosen = choose(stream, 0, np.full((len(steps), 1), classes), classes)[:, 0]
        images = choose(stream, classes, np.full((len(steps), classes), items), items)
        order = choose(stream, classes + classes * items, np.full((len(steps), 1), asked), asked)[:, 0]
        yield chosen[..., None] * items + images, order
