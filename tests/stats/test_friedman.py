"""Friedman's and Nemenyi's tests, against R, SciPy, Demšar's worked example, and simulation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from fsbench.errors import UsageError
from fsbench.stats.friedman import friedman

# Demšar, JMLR 2006, table 6: the ranks of four classifiers on 14 data sets.
DEMSAR = """
4 3 2 1/1 2 3 4/4 1 2 3/4 1 3 2/4 2 3 1/1 2.5 4 2.5/3 2 4 1/2.5 2.5 4 1/4 3 2 1/2.5 2.5 2.5 2.5/4 2.5 1 2.5/3 2 4 1/
4 1 2 3/3 1 4 2
"""
NEMENYI = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)  # table 5a: of 2 to 10 methods, at 5 %
# R's example of friedman.test (Hollander and Wolfe 1973, page 140): seconds of 22 players on three ways round.
ROUNDING = """
5.40 5.50 5.55/5.85 5.70 5.75/5.20 5.60 5.50/5.55 5.50 5.40/5.90 5.85 5.70/5.45 5.55 5.60/5.40 5.40 5.35/
5.45 5.50 5.35/5.25 5.15 5.00/5.85 5.80 5.70/5.25 5.20 5.10/5.65 5.55 5.45/5.60 5.35 5.45/5.05 5.00 4.95/
5.50 5.50 5.40/5.45 5.55 5.50/5.55 5.55 5.35/5.45 5.50 5.55/5.50 5.45 5.25/5.65 5.60 5.40/5.70 5.65 5.55/
6.30 6.30 6.25
"""


def _negated(table: str, methods: str) -> dict[str, list[float]]:
    """A table in which less is better."""
    lines = [[-float(value) for value in line.split()] for line in table.split("/")]
    return dict(zip(methods, map(list, zip(*lines, strict=True)), strict=True))


def _means(table: npt.NDArray[Any]) -> dict[str, list[float]]:
    """Methods a to g, from [sources, methods]."""
    return {name: column.tolist() for name, column in zip("abcdefg", table.T, strict=False)}


def test_the_example_of_r() -> None:
    found = friedman(_negated(ROUNDING, "abc"))
    assert (found.sources, round(found.chi_square, 4), round(found.chi_square_p, 6)) == (22, 11.1429, 0.003805)


def test_the_example_of_demsar() -> None:
    found = friedman(_negated(DEMSAR, "abcd"))
    assert {name: round(rank, 3) for name, rank in found.average_ranks.items()} == {
        "d": 1.964,
        "b": 2.0,
        "c": 2.893,
        "a": 3.143,
    }
    # He prints 9.28 and 3.69 without the correction for ties: three pairs and one of all four.
    uncorrected = found.chi_square * (1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * (4**3 - 4)))
    assert round(uncorrected, 2) == 9.28
    assert found.f == pytest.approx(13 * found.chi_square / (14 * 3 - found.chi_square))
    assert found.f_p == pytest.approx(scipy.stats.f.sf(found.f, 3, 39))
    assert round(13 * uncorrected / (14 * 3 - uncorrected), 2) == 3.69
    assert round(found.critical_difference, 2) == 1.25
    assert found.groups == (("d", "b", "c", "a"),)


@pytest.mark.parametrize(("methods", "quantile"), list(enumerate(NEMENYI[1:], start=3)))
def test_the_critical_difference_has_the_published_quantiles(methods: int, quantile: float) -> None:
    found = friedman({str(method): [0.0] * 10 for method in range(methods)})
    assert found.critical_difference / math.sqrt(methods * (methods + 1) / 60) == pytest.approx(quantile, abs=1e-3)


@settings(deadline=None)
@given(st.integers(3, 7), st.integers(5, 12), st.integers(0, 2**32), st.sampled_from([2, 5, 1000]))
def test_the_statistic_is_that_of_scipy(methods: int, sources: int, seed: int, values: int) -> None:
    table = np.random.default_rng(seed).integers(0, values, (sources, methods))
    if all(len(set(line)) == 1 for line in table.tolist()):
        return  # SciPy divides by zero
    found = friedman(_means(table))
    expected = scipy.stats.friedmanchisquare(*table.T)
    assert (found.chi_square, found.chi_square_p) == pytest.approx((expected.statistic, expected.pvalue))


def test_methods_that_are_equal_everywhere_do_not_differ() -> None:
    found = friedman({name: [1.0, 2.0, 3.0, 4.0, 5.0] for name in "abc"})
    assert (found.chi_square, found.chi_square_p, found.f, found.f_p) == (0, 1, 0, 1)
    assert found.average_ranks == dict.fromkeys("abc", 2)
    assert found.groups == (("a", "b", "c"),)


def test_one_order_on_all_sources_is_certain() -> None:
    found = friedman({name: [level + source for source in range(12)] for level, name in enumerate("abc")})
    assert (found.f, found.f_p) == (math.inf, pytest.approx(6.0**-11))
    assert found.chi_square == pytest.approx(24)
    assert list(found.average_ranks.items()) == [("c", 1), ("b", 2), ("a", 3)]
    assert found.critical_difference < 1
    assert found.groups == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 0, 1), (1, 0, 0), (0, 0, 1, 1)])
def test_the_chance_of_one_order_is_counted(order: tuple[int, ...]) -> None:
    """Of all ways to order the methods on every source, those that are the same everywhere."""
    ways = set(itertools.permutations(order))
    tables = list(itertools.product(ways, repeat=5))
    alike = sum(len(set(table)) == 1 for table in tables)
    found = friedman(_means(np.array([order] * 5)))
    assert (found.f, found.f_p) == (math.inf, pytest.approx(alike / len(tables)))


def test_groups_overlap_and_none_lies_within_another() -> None:
    orders = ["abcde", "abcde", "bacde", "acbed", "abdce", "abced"]
    found = friedman({name: [-float(order.index(name)) for order in orders] for name in "abcde"})
    ranks, limit = found.average_ranks, found.critical_difference
    assert list(ranks) == list("abcde")
    assert found.groups == (("a", "b", "c"), ("b", "c", "d"), ("c", "d", "e"))
    assert all(ranks[group[-1]] - ranks[group[0]] < limit for group in found.groups)
    assert ranks["d"] - ranks["a"] > limit < ranks["e"] - ranks["b"]


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ({"a": [1.0] * 4, "b": [2.0] * 4, "c": [3.0] * 4}, "needs 5 test sources or more, not 4"),
        ({"a": [1.0] * 5, "b": [2.0] * 5}, "3 methods or more, not 2"),
        ({}, "3 methods or more, not 0"),
        ({"a": [1.0] * 6, "b": [2.0] * 5, "c": [3.0] * 5}, "some have 5 where others have 6"),
        ({"a": [1.0] * 5, "b": [2.0] * 4 + [math.nan], "c": [3.0] * 5}, "finite"),
    ],
)
def test_what_cannot_be_tested_is_refused(means: dict[str, list[float]], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        friedman(means)


def test_equal_methods_differ_in_5_percent_of_tables_and_unequal_ones_in_most() -> None:
    rng = np.random.default_rng(30)
    noise = rng.normal(size=(400, 10, 5))
    equal = [friedman(_means(table)) for table in noise]
    unequal = [friedman(_means(table + np.array([0, 0, 0, 0, 1.5]))) for table in noise]
    wrong, found = (np.mean([test.f_p <= 0.05 for test in tests]) for tests in (equal, unequal))
    assert 0.03 <= wrong <= 0.07
    assert found > 0.7
    assert np.mean([len(test.groups) != 1 or len(test.groups[0]) < 5 for test in equal]) <= 0.06  # Nemenyi
