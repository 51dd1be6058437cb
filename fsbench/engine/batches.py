"""What a training sees: the data of every step, from one source or several."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from fsbench.engine.augmentation import Floats, draw_numbers
from fsbench.engine.schedule import Schedule
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.pooled import draw_pooled
from fsbench.episodes.sampler import Sampler
from fsbench.episodes.sources import draw_mixed_batches, draw_sources
from fsbench.tasks import Batch, PooledTasks, Tasks, join_batches, join_tasks

__all__ = ["training_data"]

_STEPS_A_DRAW = 32


def training_data(
    schedule: Schedule, stores: Sequence[ImageStore], start: int
) -> Iterator[Tasks | PooledTasks | Batch]:
    """The data of the steps from `start` on, without end: drawn some steps ahead and gathered when asked for.

    With several sources, the source is drawn uniformly for every episode, for every pool of episodes, or for every
    image of a batch. The data of a step depends on the schedule, the sources and the number of the step alone.

    Raises:
        EpisodeError: A source has too few classes, or a class too few images.
    """
    for first, stop, size in schedule.phases(start):
        shown = [store.showing(size, schedule.augment or True) for store in stores]
        yield from itertools.islice(_steps(schedule, shown, first), None if stop is None else stop - first)


def _steps(schedule: Schedule, stores: Sequence[ImageStore], start: int) -> Iterator[Tasks | PooledTasks | Batch]:
    if schedule.protocol is None:
        return _batches(schedule, stores, start)
    return _tasks(schedule, stores, start) if schedule.pool is None else _pools(schedule, stores, start)


def _batches(schedule: Schedule, stores: Sequence[ImageStore], start: int) -> Iterator[Batch]:
    sizes = [len(store.indices) for store in stores]
    first_class = np.cumsum([0, *(store.classes for store in stores)])
    for first, last in _spans(start):
        drawn = draw_mixed_batches(sizes, schedule.size, seed=schedule.seed, start=first, stop=last)
        for step, sources, positions in zip(itertools.count(first), *drawn, strict=False):
            numbers = _numbers(schedule, step, schedule.size) if schedule.augment else None
            parts = []
            for index in np.unique(sources):
                own = sources == index
                part = stores[index].batch(positions[own], None if numbers is None else numbers[own])
                parts.append(Batch(part.images, part.labels + int(first_class[index])))
            yield join_batches(parts)


def _tasks(schedule: Schedule, stores: Sequence[ImageStore], start: int) -> Iterator[Tasks]:
    assert schedule.protocol is not None
    size, number = schedule.size, len(stores)
    augmenting = functools.partial(_numbers, schedule) if schedule.augment else None
    samplers = [Sampler(store.pack, schedule.protocol, schedule.rules) for store in stores]
    for first, last in _spans(start):
        begin, end = first * size, last * size
        if number == 1:
            for block in samplers[0].draw(begin, end).blocks:
                yield from stores[0].stream(block, size, begin, augmenting)
                begin += len(block)
            continue
        sources = draw_sources(number, seed=schedule.seed, start=begin, stop=end).tolist()
        for step in range(begin, end, size):
            parts = []
            for episode in range(step, step + size):
                source = sources[episode - begin]
                block = samplers[source].draw(episode, episode + 1).blocks[0]
                parts += stores[source].stream(block, 1, episode, augmenting)
            yield join_tasks(parts)


def _pools(schedule: Schedule, stores: Sequence[ImageStore], start: int) -> Iterator[PooledTasks]:
    protocol, classes = schedule.protocol, schedule.pool
    assert isinstance(protocol, FixedProtocol) and classes is not None  # as the plan has checked
    pools = [Sampler(store.pack, protocol, schedule.rules).pool for store in stores]
    for first, last in _spans(start):
        sources = draw_sources(len(stores), seed=schedule.seed, start=first, stop=last).tolist()
        drawn = {
            source: draw_pooled(pools[source], protocol, classes=classes, tasks=schedule.size, start=first, stop=last)
            for source in set(sources)
        }
        for step, source in zip(range(first, last), sources, strict=True):
            store, episodes = stores[source], drawn[source]
            images = episodes.images[step - first]
            numbers = _numbers(schedule, step, len(images)) if schedule.augment else None
            of_tasks = (episodes.support, episodes.support_labels, episodes.query, episodes.query_labels)
            sent = store.gathered(images, *(each[step - first] for each in of_tasks), numbers=numbers)
            pooled, support, support_labels, query, query_labels = sent
            yield PooledTasks(pooled, support, support_labels, query, query_labels, episodes.way)


def _spans(start: int) -> Iterator[tuple[int, int]]:
    return ((first, first + _STEPS_A_DRAW) for first in itertools.count(start, _STEPS_A_DRAW))


def _numbers(schedule: Schedule, index: int, images: int) -> Floats:
    """What augments the images of an episode or a batch."""
    return draw_numbers(images, seed=schedule.seed, index=index)
