"""Cells of several training seeds: the moderated t test against SciPy and Smyth, and its power by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from scipy.special import polygamma

from compare_power import NOISES, rates, rates_over_episodes
from fsbench.errors import RecordError
from fsbench.stats.seeds import SeedMeans, _common, _inverse_trigamma, seed_differences

EVEN = "0.5 in every cell"


def test_of_a_single_cell_it_is_the_paired_t_test() -> None:
    base, new = [60.1, 61.3, 59.8], [58.0, 60.2, 58.9]
    test = scipy.stats.ttest_rel(new, base)
    low, high = test.confidence_interval()
    found = seed_differences({"a": SeedMeans(base, new, 0.01)})["a"]
    assert found == pytest.approx((np.subtract(new, base).mean(), (high - low) / 2, test.pvalue))


def test_equal_variances_are_pooled() -> None:
    steps = np.array([[1.0, 0, -1], [0, -1, 1], [-1, 1, 0], [1, -1, 0]])
    cells = {row: SeedMeans([0, 0, 0], own - row, 0.01) for row, own in enumerate(steps)}
    found = seed_differences(cells)
    error = math.sqrt(1 / 3)
    for row, difference in found.items():
        p_value = 2 * scipy.stats.t.sf(row / error, 8)
        assert difference == pytest.approx((-row, scipy.stats.t.ppf(0.975, 8) * error, p_value))


def test_the_order_of_cells_and_sides_changes_signs_alone() -> None:
    rng = np.random.default_rng(0)
    cells = {cell: SeedMeans(rng.normal(60, cell + 1, 3), rng.normal(60, cell + 1, 3), 0.01) for cell in range(6)}
    found = seed_differences(cells)
    assert seed_differences(dict(reversed(cells.items()))) == {cell: pytest.approx(found[cell]) for cell in cells}
    turned = seed_differences({cell: SeedMeans(new, base, step) for cell, (base, new, step) in cells.items()})
    assert {cell: (-one.mean, *one[1:]) for cell, one in turned.items()} == {
        cell: pytest.approx(tuple(found[cell])) for cell in cells
    }


def test_a_noisy_cell_keeps_most_of_its_own_variance() -> None:
    rng = np.random.default_rng(1)
    deviations = [0.1] * 20 + [5.0]
    cells = {c: SeedMeans(rng.normal(60, sd, 5), rng.normal(60, sd, 5), 0.01) for c, sd in enumerate(deviations)}
    found = seed_differences(cells)
    assert found[20].half_width > 10 * found[0].half_width


def test_cells_may_have_different_numbers_of_seeds() -> None:
    cells = {"a": SeedMeans([60, 61], [60.5, 60], 0.01), "b": SeedMeans([50, 51, 52, 50], [50, 52, 51, 50.5], 0.01)}
    found = seed_differences(cells)
    assert found["a"].half_width > found["b"].half_width > 0


@pytest.mark.parametrize("value", [1e-5, 0.1, 1.0, 7.0, 1e4])
def test_the_trigamma_function_is_inverted(value: float) -> None:
    assert polygamma(1, _inverse_trigamma(value)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("base", "new", "sentence"),
    [
        ([60, math.nan], [60, 61], "NaN or infinite"),
        ([60, 61], [60, math.inf], "NaN or infinite"),
        ([60], [60], "the same two or more training seeds"),
        ([60, 61], [60, 61, 62], "the same two or more training seeds"),
    ],
)
def test_means_that_cannot_be_tested_are_refused(base: list[float], new: list[float], sentence: str) -> None:
    with pytest.raises(RecordError, match=f"k-NN .*{sentence}"):
        seed_differences({"k-NN": SeedMeans(base, new, 0.01)})


def test_no_cell_has_no_difference() -> None:
    assert seed_differences({}) == {}


def test_three_seeds_call_a_drop_of_2_points_in_one_of_14_cells_in_90_percent_of_tables() -> None:
    found = rates(EVEN, seeds=3, drop=2, tables=400)
    assert found.regressed >= 0.9
    assert found.noticed >= 0.98


@pytest.mark.parametrize(("seeds", "cells"), [(2, 1), (2, 2), (2, 14), (3, 14), (5, 14)])
def test_equally_noisy_tables_raise_a_false_alarm_in_less_than_5_percent(seeds: int, cells: int) -> None:
    assert rates(EVEN, seeds=seeds, cells=cells, margin=0.5, tables=400).regressed <= 0.05


@pytest.mark.parametrize("noise", list(NOISES)[1:4])
def test_unequally_noisy_tables_do_so_in_hardly_more(noise: str) -> None:
    assert rates(noise, seeds=3, tables=600).regressed <= 0.06


def test_with_one_seed_a_drop_of_2_points_is_seen_where_nothing_else_changed() -> None:
    assert rates_over_episodes(drop=2, tables=300).regressed >= 0.9


def test_smyths_moments_find_the_prior_that_variances_were_drawn_from() -> None:
    random = np.random.default_rng(0)
    own = 2.0 * 10 / random.chisquare(10, 50_000)  # variances about 2 with 10 degrees of freedom
    samples = own * random.chisquare(4, 50_000) / 4
    assert _common(samples, np.full(50_000, 4)) == pytest.approx((2.0, 10.0), rel=0.1)
