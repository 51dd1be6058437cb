"""Paired comparisons, against SciPy and R, and by simulating episodes of unequal difficulty."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fsbench.errors import RecordError
from fsbench.records import Record
from fsbench.stats.intervals import mean_ci
from fsbench.stats.paired import (
    episode_accuracies,
    holm,
    mean_difference,
    paired_difference,
    paired_ranks,
    pairwise_differences,
    student,
)
from fsbench.stats.ranks import metadataset_ranks
from helpers.factories import make_record

EPISODES = 100
counts = st.lists(st.tuples(st.integers(0, 75), st.integers(0, 75)), min_size=2, max_size=40)


def _difficulties(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float64]:
    """How likely a query of an episode is to be answered correctly: episodes differ far more than methods do."""
    return rng.beta(12, 8, size=shape)


def _accuracies(rng: np.random.Generator, difficulties: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return rng.binomial(75, difficulties) / 0.75


def _methods(correct: Sequence[Sequence[int]], **facts: Any) -> dict[str, list[Record]]:
    return {name: [make_record(name, list(own), **facts)] for name, own in zip("abcdefg", correct, strict=False)}


@given(counts)
def test_the_test_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    ours, other = (make_record(name, own) for name, own in zip("ab", zip(*pairs, strict=True), strict=True))
    difference = paired_difference(ours, other)
    expected = np.subtract(ours.accuracies, other.accuracies)
    assert difference.mean == pytest.approx(expected.mean(), abs=1e-9)
    if np.ptp(expected) > 1:
        result = scipy.stats.ttest_1samp(expected, 0)
        low, high = result.confidence_interval()
        assert difference.p_value == pytest.approx(result.pvalue)
        assert difference.half_width == pytest.approx((high - low) / 2)
    else:
        exact = scipy.stats.binomtest(len(pairs), len(pairs)).pvalue  # all have one sign
        assert difference[1:] == (0, 1 if ours.correct == other.correct else pytest.approx(exact))
    mean, half_width, p_value = paired_difference(other, ours)
    assert (-mean, half_width, p_value) == pytest.approx(difference)


def test_the_accuracy_of_an_episode_is_first_averaged_over_the_training_seeds() -> None:
    ours = [make_record("a", correct, train_seed=seed) for seed, correct in enumerate([(60, 30, 45), (45, 60, 45)])]
    other = make_record("b", (45, 45, 30))
    assert episode_accuracies(ours) == pytest.approx([70, 60, 60])
    assert paired_difference(ours, other) == pytest.approx(student([[10, 0, 20]]))


def test_equal_differences_are_tested_by_sign_and_sums_in_another_order_are_no_difference() -> None:
    correct = np.random.default_rng(0).integers(0, 72, (3, 40)).tolist()
    ours = [make_record("a", own, train_seed=seed) for seed, own in enumerate(correct)]
    same = [make_record("b", own, train_seed=seed) for seed, own in enumerate(correct[1:] + correct[:1])]
    more = [make_record("b", [n + 3 for n in own], train_seed=seed) for seed, own in enumerate(correct)]
    assert any(episode_accuracies(ours) != episode_accuracies(same))  # in the last bit
    assert paired_difference(ours, same) == (0, 0, 1)
    assert paired_difference(more, ours) == (pytest.approx(4), 0, 2**-39)
    assert paired_difference(make_record("a", (30, 45)), make_record("b", (27, 42))) == (pytest.approx(4), 0, 0.5)


@pytest.mark.parametrize(
    ("ours", "other", "sentence"),
    [
        (
            [make_record("a")],
            [make_record("b", episode_set="x")],
            "a has episode_set 'omniglot-5-1-episode-set' and b ",
        ),
        ([make_record("a")], [make_record("b", split="validation")], "a has split 'test' and b has 'validation'"),
        ([make_record("a")], [make_record("b", pack="x")], "has pack"),
        ([make_record("a")], [make_record("b", source="birds")], "has source 'omniglot' and b has 'birds'"),
        ([make_record("a")], [make_record("b", (1, 2))], "has episodes 4 and b has 2"),
        ([make_record("a")], [], "one has none"),
        ([make_record("a")], [make_record("b"), make_record("b")], "averaged for b must be of one row"),
        ([make_record("a"), make_record("b", train_seed=1)], [make_record("b")], "averaged for a must be of one row"),
    ],
)
def test_records_that_do_not_share_their_episodes_are_refused(
    ours: list[Record], other: list[Record], sentence: str
) -> None:
    with pytest.raises(RecordError, match=sentence):
        paired_difference(ours, other)
    with pytest.raises(RecordError, match=sentence):
        pairwise_differences({"ours": [ours], "other": [other]})


@pytest.mark.parametrize("columns", [[], [[1.0]], [[1.0, 2.0], []]])
def test_a_test_needs_two_differences_on_every_source(columns: list[list[float]]) -> None:
    with pytest.raises(RecordError, match="at least 2 differences"):
        student(columns)


def test_sources_count_the_same_however_many_episodes_they_have() -> None:
    rng = np.random.default_rng(0)
    pairs = [
        (make_record("a", rng.integers(40, 70, n).tolist(), source=source), make_record("b", [50] * n, source=source))
        for source, n in (("omniglot", 50), ("birds", 8))
    ]
    single = [paired_difference(*pair) for pair in pairs]
    over = mean_difference(pairs)
    assert over.mean == pytest.approx((single[0].mean + single[1].mean) / 2)
    # Welch's t test of two samples is that of the mean of one and the negated other.
    columns = [np.subtract(ours.accuracies, other.accuracies) for ours, other in pairs]
    welch = scipy.stats.ttest_ind(columns[0], -columns[1], equal_var=False)
    low, high = welch.confidence_interval()
    assert over.p_value == pytest.approx(welch.pvalue)
    assert over.half_width == pytest.approx((high - low) / 4)


def test_all_methods_are_compared_over_the_same_columns() -> None:
    rng = np.random.default_rng(1)
    methods = {
        name: [[make_record(name, rng.integers(30 + gain, 60, 20).tolist(), shot=shot)] for shot in (1, 5)]
        for name, gain in (("a", 0), ("b", 1), ("c", 20))
    }
    found = pairwise_differences(methods)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = {(m, n): mean_difference(zip(methods[m], methods[n], strict=True)) for m, n in found}
    assert {pair: difference[:2] for pair, difference in found.items()} == {pair: d[:2] for pair, d in raw.items()}
    adjusted = holm({pair: difference.p_value for pair, difference in raw.items()})
    assert {pair: difference.p_value for pair, difference in found.items()} == adjusted
    with pytest.raises(RecordError, match="leave out those that have a gap"):
        pairwise_differences(methods | {"b": methods["b"][:1]})


@pytest.mark.parametrize(
    ("p_values", "adjusted"),  # R 4.3, p.adjust(p, "holm")
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.6, 0.001, 0.5], [1, 0.003, 1]),
        ([], []),
    ],
)
def test_holm_adjusts_as_r_does(p_values: list[float], adjusted: list[float]) -> None:
    assert list(holm(dict(enumerate(p_values))).values()) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_is_between_nothing_and_bonferroni(
    values: list[float], shuffle: random.Random
) -> None:
    p_values = dict(enumerate(values))
    adjusted = holm(p_values)
    assert list(adjusted) == list(p_values)
    assert all(p <= adjusted[key] <= min(1, len(values) * p) for key, p in p_values.items())
    assert all(adjusted[a] <= adjusted[b] for a in adjusted for b in adjusted if p_values[a] <= p_values[b])
    items = list(p_values.items())
    shuffle.shuffle(items)
    assert holm(dict(items)) == adjusted


@pytest.mark.parametrize("p_value", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(p_value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm({"a": p_value})


def test_paired_ranks_find_what_the_intervals_of_the_means_hide() -> None:
    easy = [30, 35, 45, 50, 60, 65, 70, 40, 55, 62]
    gains = {
        "a": (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        "b": (2, 3, 2, 3, 2, 3, 2, 3, 2, 3),
        "c": (3, 2, 3, 2, 3, 2, 3, 2, 3, 2),
    }
    methods = _methods([[n + gain for n, gain in zip(easy, own, strict=True)] for own in gains.values()])
    means = {name: mean_ci(records[0].accuracies) for name, records in methods.items()}
    unpaired = metadataset_ranks({m: i.mean for m, i in means.items()}, {m: i.half_width for m, i in means.items()})
    assert unpaired == {"a": 2, "b": 2, "c": 2}
    assert paired_ranks(methods) == {"a": 3, "b": 1.5, "c": 1.5}


def test_paired_ranks_do_not_depend_on_the_order_of_the_methods() -> None:
    # The first two have equal means; only the first is significantly better than the third, and so decides by leading.
    methods = _methods([[50] * 8, [40, 60] * 4, [48, 47] * 4, [20, 30] * 4])
    for order in itertools.permutations(methods):
        ranks = paired_ranks({name: methods[name] for name in order})
        assert list(ranks) == list(order)
        assert ranks == {"a": 1.5, "b": 1.5, "c": 3, "d": 4}
    assert paired_ranks({}) == {}


@pytest.mark.parametrize("n", [5, 20, 200])
def test_the_paired_interval_covers_the_true_difference_in_95_percent_of_samples(n: int) -> None:
    rng = np.random.default_rng(20)
    difficulties = _difficulties(rng, 3000, n) * 0.95
    differences = _accuracies(rng, difficulties + 0.03) - _accuracies(rng, difficulties)
    found = [student([sample]) for sample in differences]
    covered = np.mean([abs(difference.mean - 3) <= difference.half_width for difference in found])
    assert 0.935 <= covered <= 0.965


def test_the_interval_over_sources_covers_though_they_are_unlike() -> None:
    rng = np.random.default_rng(21)
    truths, spreads, episodes = (4, -1, 0), (3, 12, 6), (60, 12, 20)
    samples = [rng.normal(truth, spread, (3000, n)) for truth, spread, n in zip(truths, spreads, episodes, strict=True)]
    found = [student(columns) for columns in zip(*samples, strict=True)]
    covered = np.mean([abs(difference.mean - 1) <= difference.half_width for difference in found])
    assert 0.935 <= covered <= 0.965


def test_seven_equal_methods_differ_in_at_most_5_percent_of_tables() -> None:
    rng = np.random.default_rng(22)
    uncorrected, corrected, tables = 0, 0, 600
    for _ in range(tables):
        shared = _difficulties(rng, EPISODES)
        samples = [_accuracies(rng, shared) for _ in range(7)]
        pairs = itertools.combinations(range(7), 2)
        p_values = {(i, j): student([samples[i] - samples[j]]).p_value for i, j in pairs}
        uncorrected += min(p_values.values()) <= 0.05
        corrected += min(holm(p_values).values()) <= 0.05
    assert uncorrected / tables > 0.3
    assert 0.02 <= corrected / tables <= 0.06


def test_pairing_has_the_power_that_the_intervals_of_the_means_lack() -> None:
    rng = np.random.default_rng(23)
    paired = unpaired = 0
    for _ in range(300):
        shared = _difficulties(rng, EPISODES) * 0.95
        better, worse = _accuracies(rng, shared + 0.03), _accuracies(rng, shared)
        paired += student([better - worse]).p_value <= 0.05
        intervals = mean_ci(better), mean_ci(worse)
        unpaired += intervals[0].mean - intervals[1].mean > math.hypot(*(i.half_width for i in intervals))
    assert paired / 300 > 0.9 > 0.6 > unpaired / 300


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_differences_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(RecordError, match="finite differences"):
        student([[1.0, value, 2.0]])
    with pytest.raises(RecordError, match="finite differences"):
        student([[1.0, 2.0], [value, 2.0]])
