"""Ranks, against Meta-Dataset's published table."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsbench.stats.ranks import average_ranks, metadataset_ranks

METHODS = ("k-NN", "Finetune", "MatchingNet", "ProtoNet", "fo-MAML", "RelationNet", "fo-Proto-MAML")

# Triantafillou et al., "Meta-Dataset", Table 1 as in the authors' repository: mean and 95 % interval of
# METHODS on ten test sources. First half: trained on ILSVRC alone; second: on all training sources.
TRAINED_ON_IMAGENET = {
    "ILSVRC": "41.03±1.01 45.78±1.10 45.00±1.10 50.50±1.08 45.51±1.11 34.69±1.01 49.53±1.05",
    "Omniglot": "37.07±1.15 60.85±1.58 52.27±1.28 59.98±1.35 55.55±1.54 45.35±1.36 63.37±1.33",
    "Aircraft": "46.81±0.89 68.69±1.26 48.97±0.93 53.10±1.00 56.24±1.11 40.73±0.83 55.95±0.99",
    "Birds": "50.13±1.00 57.31±1.26 62.21±0.95 68.79±1.01 63.61±1.06 49.51±1.05 68.66±0.96",
    "Textures": "66.36±0.75 69.05±0.90 64.15±0.85 66.56±0.83 68.04±0.81 52.97±0.69 66.49±0.83",
    "QuickDraw": "32.06±1.08 42.60±1.17 42.87±1.09 48.96±1.08 43.96±1.29 43.30±1.08 51.52±1.00",
    "Fungi": "36.16±1.02 38.20±1.02 33.97±1.00 39.71±1.11 32.10±1.10 30.55±1.04 39.96±1.14",
    "VGG Flower": "83.10±0.68 85.51±0.68 80.13±0.71 85.27±0.77 81.74±0.83 68.76±0.83 87.15±0.69",
    "Traffic signs": "44.59±1.19 66.79±1.31 47.80±1.14 47.12±1.10 50.93±1.51 33.67±1.05 48.83±1.09",
    "MSCOCO": "30.38±0.99 34.86±0.97 34.99±1.00 41.00±1.10 35.30±1.23 29.15±1.01 43.74±1.12",
}
TRAINED_ON_ALL = {
    "ILSVRC": "38.55±0.94 43.08±1.08 36.08±1.00 44.50±1.05 37.83±1.01 30.89±0.93 46.52±1.05",
    "Omniglot": "74.60±1.08 71.11±1.37 78.25±1.01 79.56±1.12 83.92±0.95 86.57±0.79 82.69±0.97",
    "Aircraft": "64.98±0.82 72.03±1.07 69.17±0.96 71.14±0.86 76.41±0.69 69.71±0.83 75.23±0.76",
    "Birds": "66.35±0.92 59.82±1.15 56.40±1.00 67.01±1.02 62.43±1.08 54.14±0.99 69.88±1.02",
    "Textures": "63.58±0.79 69.14±0.85 61.80±0.74 65.18±0.84 64.16±0.83 56.56±0.73 68.25±0.81",
    "QuickDraw": "44.88±1.05 47.05±1.16 60.81±1.03 64.88±0.89 59.73±1.10 61.75±0.97 66.84±0.94",
    "Fungi": "37.12±1.06 38.16±1.04 33.70±1.04 40.26±1.13 33.54±1.11 32.56±1.08 41.99±1.17",
    "VGG Flower": "83.47±0.61 85.28±0.69 81.90±0.72 86.85±0.71 79.94±0.84 76.08±0.76 88.72±0.67",
    "Traffic signs": "40.11±1.10 66.74±1.23 55.57±1.08 46.48±1.00 42.91±1.31 37.48±0.93 52.42±1.08",
    "MSCOCO": "29.55±0.96 35.17±1.08 28.79±0.96 39.87±1.06 29.37±1.08 27.41±0.89 41.74±1.13",
}
RANKS_ON_IMAGENET = {
    "ILSVRC": (6, 4, 4, 1.5, 4, 7, 1.5),
    "Omniglot": (7, 2.5, 5, 2.5, 4, 6, 1),
    "Aircraft": (6, 1, 5, 4, 2.5, 7, 2.5),
    "Birds": (6.5, 5, 3.5, 1.5, 3.5, 6.5, 1.5),
    "Textures": (4, 1.5, 6, 4, 1.5, 7, 4),
    "QuickDraw": (7, 4.5, 4.5, 2, 4.5, 4.5, 1),
    "Fungi": (4, 3, 5, 1.5, 6, 7, 1.5),
    "VGG Flower": (4, 2.5, 6, 2.5, 5, 7, 1),
    "Traffic signs": (6, 1, 3.5, 5, 2, 7, 3.5),
    "MSCOCO": (6.5, 4, 4, 2, 4, 6.5, 1),
}
RANKS_ON_ALL = {
    "ILSVRC": (4.5, 2.5, 6, 2.5, 4.5, 7, 1),
    "Omniglot": (6, 7, 4.5, 4.5, 2.5, 1, 2.5),
    "Aircraft": (7, 3.5, 5.5, 3.5, 1, 5.5, 2),
    "Birds": (2.5, 5, 6, 2.5, 4, 7, 1),
    "Textures": (5, 1.5, 6, 3.5, 3.5, 7, 1.5),
    "QuickDraw": (7, 6, 3.5, 2, 5, 3.5, 1),
    "Fungi": (3.5, 3.5, 6, 2, 6, 6, 1),
    "VGG Flower": (4, 3, 5, 2, 6, 7, 1),
    "Traffic signs": (6, 1, 2, 4, 5, 7, 3),
    "MSCOCO": (5, 3, 5, 2, 5, 7, 1),
}
HALVES = [
    pytest.param(TRAINED_ON_IMAGENET, RANKS_ON_IMAGENET, (5.7, 2.9, 4.65, 2.65, 3.7, 6.55, 1.85), id="imagenet"),
    pytest.param(TRAINED_ON_ALL, RANKS_ON_ALL, (5.05, 3.6, 4.95, 2.85, 4.25, 5.8, 1.5), id="all"),
]

figures = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=9)


def _ranks(line: str) -> dict[str, float]:
    cells = [cell.split("±") for cell in line.split()]
    means = {method: float(mean) for method, (mean, _) in zip(METHODS, cells, strict=True)}
    return metadataset_ranks(means, {method: float(ci) for method, (_, ci) in zip(METHODS, cells, strict=True)})


@pytest.mark.parametrize(("half", "ranks", "averages"), HALVES)
def test_meta_datasets_table_is_ranked_as_published(
    half: dict[str, str], ranks: dict[str, tuple[float, ...]], averages: tuple[float, ...]
) -> None:
    ours = {source: _ranks(line) for source, line in half.items()}
    assert ours == {source: dict(zip(METHODS, line, strict=True)) for source, line in ranks.items()}
    assert average_ranks(ours) == dict(zip(METHODS, averages, strict=True))


def test_a_distance_of_exactly_the_threshold_is_a_tie() -> None:
    assert metadataset_ranks({"a": 10, "b": 5}, {"a": 3, "b": 4}) == {"a": 1.5, "b": 1.5}
    assert metadataset_ranks({"a": 10, "b": 4.999}, {"a": 3, "b": 4}) == {"a": 1, "b": 2}


def test_ties_are_with_the_leader_only() -> None:
    means, ci95 = {"a": 52, "b": 51, "c": 50}, dict.fromkeys("abc", 1.0)
    assert metadataset_ranks(means, ci95) == {"a": 1.5, "b": 1.5, "c": 3}  # b and c alone would be tied


def test_tied_methods_need_not_be_neighbours() -> None:
    ranks = metadataset_ranks({"a": 60, "b": 58, "c": 57}, {"a": 1, "b": 0.1, "c": 5})
    assert ranks == {"a": 1.5, "b": 3, "c": 1.5}


def test_equal_methods_share_the_middle_rank() -> None:
    assert metadataset_ranks(dict.fromkeys("abcd", 99.5), dict.fromkeys("abcd", 0.0)) == dict.fromkeys("abcd", 2.5)


@given(figures, st.randoms(use_true_random=False))
def test_ranks_use_every_place_once_and_ignore_the_order(
    cells: list[tuple[float, float]], shuffle: random.Random
) -> None:
    methods = [str(number) for number in range(len(cells))]
    means, ci95 = (dict(zip(methods, values, strict=True)) for values in zip(*cells, strict=True))
    ranks = metadataset_ranks(means, ci95)
    assert list(ranks) == methods
    assert sum(ranks.values()) == sum(range(1, len(cells) + 1))
    assert ranks[max(means, key=lambda method: (means[method], -ci95[method]))] == min(ranks.values())
    shuffle.shuffle(methods)
    assert metadataset_ranks({method: means[method] for method in methods}, ci95) == ranks


@pytest.mark.parametrize(
    ("means", "ci95"),
    [({"a": math.nan}, {"a": 1.0}), ({"a": 1.0}, {"a": math.nan}), ({"a": 1.0}, {"a": -1.0}), ({"a": 1.0}, {})],
)
def test_figures_that_cannot_be_ranked_are_refused(means: dict[str, float], ci95: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="to be ranked"):
        metadataset_ranks(means, ci95)


def test_only_methods_ranked_everywhere_are_averaged() -> None:
    assert average_ranks({"x": {"a": 1, "b": 2}, "y": {"b": 1}}) == {"b": 1.5}
    assert average_ranks({}) == metadataset_ranks({}, {}) == {}


@pytest.mark.parametrize("rank", [math.nan, math.inf])
def test_ranks_that_are_not_finite_are_not_averaged(rank: float) -> None:
    with pytest.raises(ValueError, match="ranks must be finite"):
        average_ranks({"x": {"a": 1, "b": rank}, "y": {"a": 1}})
