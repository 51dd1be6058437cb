"""Drawing episodes: ours beside one generator and one choice without replacement per class and episode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fsbench.episodes import ClassPool, Protocol, draw_episodes

CLASSES, IMAGES = 423, 20
PROTOCOL = Protocol("test", way=5, shot=1, queries=15, episodes=600, seed=0)
POOL = ClassPool(
    tuple(f"class {label}" for label in range(CLASSES)),
    np.arange(CLASSES),
    np.arange(CLASSES) * IMAGES,
    np.full(CLASSES, IMAGES),
)


def ours() -> None:
    draw_episodes(POOL, PROTOCOL)


def one_by_one() -> None:
    for number in range(PROTOCOL.episodes):
        generator = np.random.default_rng([PROTOCOL.seed, number])
        for _ in generator.choice(CLASSES, PROTOCOL.way, replace=False):
            generator.choice(IMAGES, PROTOCOL.shot + PROTOCOL.queries, replace=False)
        generator.permutation(PROTOCOL.way * PROTOCOL.queries)


@pytest.mark.parametrize("draw", [ours, one_by_one])
def test_draw_600_episodes(benchmark: BenchmarkFixture, draw: Callable[[], None]) -> None:
    benchmark(draw)
