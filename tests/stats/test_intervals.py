"""Intervals, against SciPy and simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fsbench.stats.intervals import class_mean_ci, mean_ci


@given(st.lists(st.floats(0, 100), min_size=2, max_size=50), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_is_that_of_scipy(values: list[float], confidence: float) -> None:
    mean, half_width = mean_ci(values, confidence)
    assert mean == pytest.approx(np.mean(values))
    spread = scipy.stats.sem(values)
    if spread > 0:
        low, high = scipy.stats.t.interval(confidence, len(values) - 1, loc=mean, scale=spread)
        assert (mean - half_width, mean + half_width) == pytest.approx((low, high), abs=1e-9)
    else:
        assert half_width == 0


def test_at_600_episodes_it_prints_the_digits_of_the_field() -> None:
    accuracies = np.random.default_rng(0).binomial(75, 0.66, size=600) / 0.75
    field = 1.96 * accuracies.std() / math.sqrt(600)
    assert f"{mean_ci(accuracies).half_width:.2f}" == f"{field:.2f}"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "at least 2 values, not 0"),
        ([50.0], "at least 2 values, not 1"),
        ([50.0, math.nan], "finite"),
        ([50.0, math.inf], "finite"),
    ],
)
def test_a_sample_without_an_interval_is_refused(values: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mean_ci(values)


def test_a_confidence_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="95"):
        mean_ci([1, 2], 95)


# Accuracies of episodes with 75 queries, left-skewed: episodes of unequal difficulty, and an almost solved source.
DRAWS: dict[str, tuple[float, Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[np.int64]]]] = {
    "unequal": (62.5, lambda rng, shape: rng.binomial(75, rng.beta(5, 3, size=shape))),
    "easy": (90.0, lambda rng, shape: rng.binomial(75, 0.9, size=shape)),
}


@pytest.mark.parametrize("n", [5, 10, 20, 50, 200, 600])
@pytest.mark.parametrize("draw", DRAWS)
def test_the_interval_covers_the_true_mean_in_95_percent_of_samples(draw: str, n: int) -> None:
    mean, sampler = DRAWS[draw]
    samples = sampler(np.random.default_rng(20), (8000, n)) / 0.75
    intervals = np.array([mean_ci(sample) for sample in samples])
    covered = np.abs(intervals[:, 0] - mean) <= intervals[:, 1]
    assert 0.94 <= covered.mean() <= 0.96


def _class_sample(
    rng: np.random.Generator, classes: int, episodes: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Accuracies of 5-way episodes, of classes that are easier or harder by about 10 points, around 60 percent."""
    ease = rng.normal(60, 10, classes)
    drawn = rng.permuted(np.tile(np.arange(classes), (episodes, 1)), axis=1)[:, :5]
    return ease[drawn].mean(axis=1) + rng.normal(0, 5, episodes), drawn


def test_the_interval_over_classes_covers_the_mean_over_all_classes_and_that_over_episodes_does_not() -> None:
    rng = np.random.default_rng(40)
    samples = [_class_sample(rng, 20, 300) for _ in range(1000)]
    over_classes, over_episodes = (
        np.mean([abs(interval.mean - 60) <= interval.half_width for interval in intervals])
        for intervals in (
            [class_mean_ci(values, classes) for values, classes in samples],
            [mean_ci(values) for values, _ in samples],
        )
    )
    assert 0.94 <= over_classes <= 0.975
    assert over_episodes < 0.5


def test_it_is_the_interval_of_the_classes_where_every_set_of_classes_is_an_episode() -> None:
    ease = np.random.default_rng(41).normal(60, 10, 9)
    sets = list(itertools.combinations(range(9), 3))
    assert class_mean_ci([ease[list(found)].mean() for found in sets], sets) == pytest.approx(mean_ci(ease))


def test_resampling_the_classes_comes_to_the_same() -> None:
    rng = np.random.default_rng(42)
    ease = rng.normal(60, 10, 40)
    sets = np.array(list(itertools.combinations(range(40), 2)))
    values = ease[sets].mean(axis=1)
    times = rng.multinomial(40, [1 / 40] * 40, size=4000)
    weights = times[:, sets].prod(axis=2)  # how often two classes are drawn together
    bootstrap = (weights @ values / weights.sum(axis=1)).std()
    error = class_mean_ci(values, sets).half_width / scipy.stats.t.ppf(0.975, 39)
    assert bootstrap == pytest.approx(error, rel=0.06)


def test_ways_may_differ_between_episodes() -> None:
    classes = [[1, 2, 3], [2, 3], [1, 3], [1, 2]]
    mean, half_width = class_mean_ci([50, 60, 70, 80], classes)
    left = np.array([60, 70, 80])  # without the episodes of class 1, 2 and 3
    assert mean == 65
    assert half_width == pytest.approx(scipy.stats.t.ppf(0.975, 2) * math.sqrt(2 / 3 * ((left - 70) ** 2).sum()))


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [([[1, 2]], "2 episodes have 1 sets"), ([[1], [1]], "two classes or more"), ([[1, 2], [1, 3]], "in every episode")],
)
def test_an_interval_over_classes_needs_several_that_come_and_go(classes: list[list[int]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        class_mean_ci([50, 60], classes)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_interval_over_classes_needs_finite_values(value: float) -> None:
    with pytest.raises(ValueError, match="over classes needs finite values"):
        class_mean_ci([50, value, 60], [[1, 2], [2, 3], [1, 3]])
