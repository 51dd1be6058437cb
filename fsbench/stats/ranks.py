"""Ranks of methods: Meta-Dataset's rule on one test source, and their average over sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, TypeVar

__all__ = ["average_ranks", "leader_ranks", "metadataset_ranks"]

_K = TypeVar("_K", bound=Hashable)


def metadataset_ranks(means: Mapping[str, float], ci95: Mapping[str, float]) -> dict[str, float]:
    """Rank the methods on one test source by Meta-Dataset's rule; 1 is best, and ties share a mean rank.

    The best method not yet ranked leads; every other one whose distance from the leader is at most
    √(CI_leader² + CI_other²) is tied with it; the tied ones share the mean of their places; the rest go
    on from there. A method is compared with the leader only, so ties are not transitive. (Triantafillou
    et al., "Meta-Dataset", ICLR 2020; the authors' `Leaderboard.ipynb`.)

    Args:
        means: Method to mean accuracy.
        ci95: Method to the half width of its 95 % confidence interval, in the same unit.

    Raises:
        ValueError: The two name different methods, or a value is not finite, or a half width is negative.
    """
    if means.keys() != ci95.keys():
        raise ValueError("every method needs a mean and an interval to be ranked.")
    if not all(math.isfinite(means[method]) and 0 <= ci95[method] < math.inf for method in means):
        raise ValueError("means must be finite, and half widths finite and not negative, to be ranked.")
    # Of equal means the one known best leads, so that the order of the input decides nothing.
    return leader_ranks(
        means,
        lambda method: (-means[method], ci95[method]),
        lambda leader, method: means[leader] - means[method] <= math.sqrt(ci95[leader] ** 2 + ci95[method] ** 2),
    )


def leader_ranks(
    methods: Collection[_K], order: Callable[[_K], Any], tied: Callable[[_K, _K], bool]
) -> dict[_K, float]:
    """Rank by groups: the first method not yet ranked leads, and those tied with it share its rank.

    Args:
        methods: What to rank.
        order: The key of a method that sorts the best first.
        tied: Whether a leader, given first, and another method are tied.
    """
    unranked = sorted(methods, key=order)
    ranks: dict[_K, float] = {}
    while unranked:
        leader, *others = unranked
        group = [leader, *(method for method in others if tied(leader, method))]
        ranks.update(dict.fromkeys(group, len(ranks) + (len(group) + 1) / 2))
        unranked = [method for method in others if method not in ranks]
    return {method: ranks[method] for method in methods}


def average_ranks(ranks: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The unweighted mean of every method's ranks over the test sources.

    Args:
        ranks: Test source to method to rank, as `metadataset_ranks` gives them.

    Returns:
        Method to average rank, for the methods that are ranked on every source: an average over fewer
        sources cannot be set beside the others.

    Raises:
        ValueError: A rank is not finite.
    """
    columns = list(ranks.values())
    if not all(math.isfinite(rank) for column in columns for rank in column.values()):
        raise ValueError("ranks must be finite to be averaged, and one of these is NaN or infinite.")
    everywhere = [method for method in columns[0] if all(method in column for column in columns)] if columns else []
    return {method: sum(column[method] for column in columns) / len(columns) for method in everywhere}
