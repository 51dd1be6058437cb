"""Whether methods differ over test sources as such: Friedman's test and Nemenyi's critical difference.

Here the sources are the sample, and only the order of the methods on each counts. (Demšar, "Statistical
comparisons of classifiers over multiple data sets", JMLR 2006, section 3.2.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import chdtrc, fdtrc

from fsbench.errors import UsageError

__all__ = ["MIN_METHODS", "MIN_SOURCES", "Friedman", "friedman"]

MIN_METHODS: Final = 3  # of two, their paired differences tell more, and these tests less than the sign test
MIN_SOURCES: Final = 5  # with fewer the tests find next to nothing, and their distributions are far off


@dataclass(frozen=True)
class Friedman:
    """What Friedman's test and Nemenyi's find.

    Attributes:
        sources: How many.
        average_ranks: Method to mean rank over the sources, best first; 1 is best, equal means share a rank.
        chi_square: Friedman's statistic, corrected for ties; methods - 1 degrees of freedom.
        chi_square_p: Its p value.
        f: Iman and Davenport's statistic, less conservative; methods - 1 and (methods - 1)(sources - 1) degrees.
            Infinite: all sources order the methods alike.
        f_p: Its p value; where it is infinite, the chance that orders drawn at random are all alike.
        critical_difference: Two methods whose average ranks lie at least so far apart differ (Nemenyi, 5 %).
        groups: The largest sets of two or more methods of which no two differ, best first.
    """

    sources: int
    average_ranks: Mapping[str, float]
    chi_square: float
    chi_square_p: float
    f: float
    f_p: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


def friedman(means: Mapping[str, Sequence[float]]) -> Friedman:
    """Test whether methods differ over sources, and which.

    Args:
        means: Method to its mean accuracy on every source, the same sources in the same order for all. One
            way and shot only: two settings of a source are not two sources.

    Raises:
        UsageError: There are fewer than `MIN_METHODS` methods or `MIN_SOURCES` sources, methods have not as many
            sources as each other, or a mean is not finite.
    """
    from scipy.stats import rankdata, studentized_range

    k, sources = len(means), sorted({len(values) for values in means.values()})
    if k < MIN_METHODS:
        raise UsageError(f"Friedman's test compares {MIN_METHODS} methods or more, not {k}; compare two by pairs.")
    if len(sources) > 1:
        raise UsageError(
            f"Friedman's test needs every method on every source, and some have {sources[0]} where others have "
            f"{sources[-1]}; leave out those that have a gap."
        )
    n = sources[0]
    if n < MIN_SOURCES:
        raise UsageError(f"Friedman's test needs {MIN_SOURCES} test sources or more, not {n}; compare them one by one.")
    table = np.array(list(means.values()), dtype=np.float64)  # [methods, sources]
    if not np.isfinite(table).all():
        raise UsageError("Friedman's test needs finite means, and one of these is NaN or infinite.")
    ranks = rankdata(-table, axis=0)
    average = ranks.mean(axis=1)
    between = n * float(((average - (k + 1) / 2) ** 2).sum())
    within = float(((ranks - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))
    chi_square = between / within if within else 0.0  # 0: all methods are equal on every source
    rest = n * (k - 1) - chi_square
    if rest > 1e-9:
        f = (n - 1) * chi_square / rest
        f_p = float(fdtrc(k - 1, (k - 1) * (n - 1), f))
    else:  # one order on all sources
        ties = np.unique(ranks[:, 0], return_counts=True)[1].tolist()
        f, f_p = math.inf, (math.factorial(k) / math.prod(map(math.factorial, ties))) ** (1 - n)
    difference = float(studentized_range.ppf(0.95, k, np.inf)) * math.sqrt(k * (k + 1) / (12 * n))
    ordered = dict(sorted(zip(means, average.tolist(), strict=True), key=lambda item: item[1]))
    return Friedman(
        sources=n,
        average_ranks=ordered,
        chi_square=chi_square,
        chi_square_p=float(chdtrc(k - 1, chi_square)),
        f=f,
        f_p=f_p,
        critical_difference=difference,
        groups=_groups(ordered, difference),
    )


def _groups(ranks: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    """The runs of methods, best first, whose ends lie less than the critical difference apart, none within another."""
    methods = list(ranks)
    groups: list[tuple[str, ...]] = []
    reached = 0
    for start, first in enumerate(methods):
        end = sum(ranks[method] - ranks[first] < difference for method in methods)
        if end > max(reached, start + 1):
            groups.append(tuple(methods[start:end]))
        reached = max(reached, end)
    return tuple(groups)
