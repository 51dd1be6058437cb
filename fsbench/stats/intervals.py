"""What is said about accuracies: intervals of means, over episodes or classes, and ranks of methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit  # scipy.stats has the same quantile, and takes 1.6 s to import

__all__ = ["Interval", "average_ranks", "class_mean_ci", "leader_ranks", "mean_ci", "metadataset_ranks"]

_K = TypeVar("_K", bound=Hashable)


class Interval(NamedTuple):
    """A mean and the half width of its confidence interval, in the unit of the values."""

    mean: float
    half_width: float


def mean_ci(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """The mean of a sample and Student's confidence interval of it: mean ± t · s / √n, s with ddof 1.

    With the 1.96 · s / √n (ddof 0) of Meta-Dataset and most of the field, it shares all printed digits at
    n = 600; at n = 10 that one covers the true mean in 90 % of the cases, and this one in 95 %.

    Args:
        values: At least two finite numbers, e.g. the accuracy of every episode.
        confidence: Between 0 and 1.

    Raises:
        ValueError: Fewer than two values (one value says nothing of its spread), or one that is not finite.
    """
    sample = np.fromiter(values, dtype=np.float64)
    n = len(sample)
    if n < 2:
        raise ValueError(f"a confidence interval needs at least 2 values, not {n}.")
    if not np.isfinite(sample).all():
        raise ValueError("a mean needs finite values, and one of these is NaN or infinite.")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, and {confidence} does not.")
    quantile = float(stdtrit(n - 1, (1 + confidence) / 2))
    return Interval(float(sample.mean()), quantile * float(sample.std(ddof=1)) / math.sqrt(n))


def class_mean_ci(values: Sequence[float], classes: Sequence[npt.ArrayLike]) -> Interval:
    """The mean over episodes, and its 95 % interval over other test classes of the same kind.

    The intervals of `mean_ci` stay with the test classes at hand. Here the sample is the classes: the
    mean is taken again without the episodes of each class in turn (the jackknife of a U-statistic; Arvesen,
    Annals of Mathematical Statistics, 1969), which is what resampling the classes tends to, and Student's
    t has one degree of freedom less than there are classes. It errs on the wide side where a class has few
    episodes, and on the narrow side where classes belong to superclasses and resemble each other.

    Args:
        values: Of every episode, e.g. its accuracy, or a paired difference [episodes].
        classes: Of every episode, the labels of its classes, as in `fsbench.episodes.fixed.Episodes.classes`; they
            may differ in number [episodes] of [way].

    Raises:
        ValueError: There is not one set of classes a value, there are fewer than two classes, or one of
            them is in every episode.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(classes) != len(sample):
        raise ValueError(f"every episode needs its classes, and {len(sample)} episodes have {len(classes)} sets.")
    labels, which = np.unique(np.concatenate([np.ravel(found) for found in classes]), return_inverse=True)
    member = np.zeros((len(sample), len(labels)))
    member[np.repeat(np.arange(len(sample)), [np.size(found) for found in classes]), which] = 1
    without = len(sample) - member.sum(axis=0)
    n = len(labels)
    if n < 2 or not without.all():
        raise ValueError("an interval over classes needs two classes or more, none of them in every episode.")
    means = (sample.sum() - sample @ member) / without
    error = math.sqrt((n - 1) ** 2 / n) * float(means.std(ddof=1))
    return Interval(float(sample.mean()), float(stdtrit(n - 1, 0.975)) * error)


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
    """
    columns = list(ranks.values())
    everywhere = [method for method in columns[0] if all(method in column for column in columns)] if columns else []
    return {method: sum(column[method] for column in columns) / len(columns) for method in everywhere}
