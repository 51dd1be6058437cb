"""Paired comparisons: the same episodes answered by two methods, and the many comparisons of a table.

Episodes differ far more in difficulty than methods do. On the same episodes that part cancels, so a paired
difference has a much narrower interval than the √(CI² + CI²) of two means.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit  # scipy.stats has the same, and takes 1.6 s to import

from fsbench.errors import RecordError
from fsbench.records import Record
from fsbench.stats.ranks import leader_ranks

__all__ = [
    "SIGNIFICANCE",
    "Difference",
    "episode_accuracies",
    "holm",
    "mean_difference",
    "paired_difference",
    "paired_ranks",
    "pairwise_differences",
    "student",
]

SIGNIFICANCE: Final = 0.05

_SHARED = ("source", "split", "episodes", "episode_set")
_NOISE = 1e-9  # percentage points: differences lie further apart, and sums in another order differ by less

_K = TypeVar("_K", bound=Hashable)
_Accuracies = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """A mean paired difference of accuracies, ours minus the other's.

    Attributes:
        mean: Percentage points.
        half_width: Of its 95 % confidence interval, percentage points; never corrected for other comparisons.
        p_value: Two-sided, of no difference.
    """

    mean: float
    half_width: float
    p_value: float


def paired_difference(ours: Record | Sequence[Record], other: Record | Sequence[Record]) -> Difference:
    """Compare two methods on the episodes that they share, by Student's t on the differences per episode.

    With several training seeds the accuracy of an episode is first averaged over them, so the interval
    covers other episodes of the same classes, and not other trainings. Where all episodes differ by the same,
    the half width is 0, and p that of the sign test, 2^(1 - episodes), or 1 if they do not differ.

    Args:
        ours: One record, or one a training seed.
        other: The same, on the same episodes.

    Raises:
        RecordError: The episodes, split or pack differ, there is no record, or there are fewer than two episodes.
    """
    return mean_difference([(ours, other)])


def mean_difference(
    pairs: Iterable[tuple[Record | Sequence[Record], Record | Sequence[Record]]],
) -> Difference:
    """Compare two methods over several test sources or settings, each of which counts the same.

    The mean of the paired differences of the columns. Its variance is the sum of theirs over the squared
    number of columns, its degrees of freedom those of Welch and Satterthwaite; for one column this is the
    paired t test. The interval covers other episodes of these sources, and not other sources: for those see
    `fsbench.stats.friedman`.

    Args:
        pairs: Of every column, ours and the other's, as in `paired_difference`.

    Raises:
        RecordError: As in `paired_difference`, or there is no pair.
    """
    listed = [(_records(ours), _records(other)) for ours, other in pairs]
    for ours, other in listed:
        _check_shared([ours, other])
    return student([episode_accuracies(ours) - episode_accuracies(other) for ours, other in listed])


def student(columns: Sequence[npt.ArrayLike]) -> Difference:
    """Student's t test that the mean of the columns' means is 0, each column counting the same.

    Args:
        columns: Of every column a sample of two or more differences, percentage points: of episodes, or of the
            means of training seeds.

    Raises:
        RecordError: There is no column, or one has fewer than two differences, or one that is not finite.
    """
    samples = [np.asarray(column, dtype=np.float64) for column in columns]
    if not all(np.isfinite(sample).all() for sample in samples):
        raise RecordError("a test of differences needs finite differences, and one of these is NaN or infinite.")
    (found,) = _students([sample[np.newaxis] for sample in samples])
    return found


def _students(columns: Sequence[_Accuracies]) -> list[Difference]:
    """Many of `student`'s tests at once: of every column the samples of all tests [tests, differences]."""
    sizes = [column.shape[-1] for column in columns]
    if min(sizes, default=0) < 2:
        raise RecordError("a test of differences needs at least one test source, and at least 2 differences on each.")
    mean = np.stack([column.mean(axis=-1) for column in columns], axis=-1).mean(axis=-1)
    parts = [
        np.where(np.ptp(column, axis=-1) < _NOISE, 0.0, column.var(axis=-1, ddof=1) / size)
        for column, size in zip(columns, sizes, strict=True)
    ]
    variance = np.sum(parts, axis=0)
    error = np.sqrt(variance) / len(columns)
    with np.errstate(invalid="ignore", divide="ignore"):  # where nothing varies
        freedom = variance**2 / np.sum([part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True)], axis=0)
        varying = zip(mean, stdtrit(freedom, 0.975) * error, 2 * stdtr(freedom, -abs(mean) / error), strict=True)
    by_sign = 2.0 ** (1 - min(sizes))
    steady = [
        Difference(one, 0.0, by_sign) if abs(one) > _NOISE else Difference(0.0, 0.0, 1.0) for one in mean.tolist()
    ]
    return [
        Difference(*map(float, found)) if spread else fixed
        for found, fixed, spread in zip(varying, steady, variance > 0, strict=True)
    ]


def pairwise_differences(methods: Mapping[_K, Sequence[Sequence[Record]]]) -> dict[tuple[_K, _K], Difference]:
    """Compare all methods of a table, or of one of its columns, with each other.

    Args:
        methods: Method to its cells, the same columns in the same order for all; a cell is the records of its
            training seeds.

    Returns:
        Every pair once, in the order given, its difference that of the first minus the second as in
        `mean_difference`. The p values are Holm's over all pairs, which allows picking the best method
        only after looking.

    Raises:
        RecordError: As in `mean_difference`, or the methods have not as many cells as each other.
    """
    if len({len(cells) for cells in methods.values()}) > 1:
        raise RecordError("methods are compared over the same columns; leave out those that have a gap.")
    for column in zip(*methods.values(), strict=True):
        _check_shared(column)
    return _pairwise({method: list(map(episode_accuracies, cells)) for method, cells in methods.items()})


def _pairwise(methods: Mapping[_K, Sequence[_Accuracies]]) -> dict[tuple[_K, _K], Difference]:
    """`pairwise_differences` of the methods' accuracies on every column [episodes]."""
    columns = [np.stack(column) for column in zip(*methods.values(), strict=True)]
    found: dict[tuple[_K, _K], Difference] = {}
    for place, ours in enumerate(methods):
        others = list(methods)[place + 1 :]
        tests = _students([column[place] - column[place + 1 :] for column in columns])
        found.update(zip([(ours, other) for other in others], tests, strict=True))
    adjusted = holm({pair: difference.p_value for pair, difference in found.items()})
    return {pair: difference._replace(p_value=adjusted[pair]) for pair, difference in found.items()}


def paired_ranks(methods: Mapping[_K, Sequence[Record]]) -> dict[_K, float]:
    """Rank the methods of one column; 1 is best, and ties share a mean rank.

    Meta-Dataset's rule (`fsbench.stats.ranks.metadataset_ranks`), but a method is tied with the leader if their
    paired difference is not significant: Holm's p over all pairs of the column above `SIGNIFICANCE`.

    Args:
        methods: Method to its records on the shared episodes, one a training seed.

    Raises:
        RecordError: As in `paired_difference`.
    """
    _check_shared(list(methods.values()))
    samples = {method: episode_accuracies(records) for method, records in methods.items()}
    differences = _pairwise({method: [sample] for method, sample in samples.items()})

    def tied(leader: _K, method: _K) -> bool:
        pair = (leader, method) if (leader, method) in differences else (method, leader)
        return differences[pair].p_value > SIGNIFICANCE

    # Of equal means the one ahead on the first episode on which they differ leads, so that their order decides nothing.
    return leader_ranks(methods, lambda method: (-samples[method].mean(), *-samples[method]), tied)


def holm(p_values: Mapping[_K, float]) -> dict[_K, float]:
    """Adjust the p values of a family of comparisons, however they depend on each other.

    Calling those significant whose adjusted p is at most α, one or more of them are wrong with probability α or less.
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.

    Args:
        p_values: Comparison to p value; all the comparisons of the family.

    Raises:
        ValueError: A p value is not between 0 and 1.
    """
    for comparison, p_value in p_values.items():
        if not 0 <= p_value <= 1:
            raise ValueError(f"a p value lies between 0 and 1, and {p_value} of {comparison} does not.")
    adjusted: dict[_K, float] = {}
    largest = 0.0
    for place, comparison in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[comparison]))
        adjusted[comparison] = largest
    return {comparison: adjusted[comparison] for comparison in p_values}


def episode_accuracies(records: Sequence[Record]) -> _Accuracies:
    """Accuracy of every episode, averaged over the training seeds, percent [episodes]."""
    mean: _Accuracies = np.mean([record.accuracies for record in records], axis=0)
    return mean


def _records(one_or_more: Record | Sequence[Record]) -> Sequence[Record]:
    return [one_or_more] if isinstance(one_or_more, Record) else one_or_more


def _check_shared(methods: Sequence[Sequence[Record]]) -> None:
    """Refuse methods, each with the records of its training seeds, that were not measured on the same episodes."""
    if not all(methods):
        raise RecordError("a paired difference needs records of both methods, and one has none.")
    for records in methods:
        first = methods[0][0]
        for record in records:
            by_content = first.identity.by_content and record.identity.by_content
            for name in _SHARED if by_content else (*_SHARED, "pack"):
                expected, found = getattr(first.identity, name), getattr(record.identity, name)
                if found != expected:
                    raise RecordError(
                        f"{first.label} has {name} {expected!r} and {record.label} has {found!r}, so they cannot be "
                        "paired; run both on the same episodes."
                    )
        seeds = [record.identity.train_seed for record in records]
        if len(set(seeds)) < len(seeds) or len({record.identity.row for record in records}) > 1:
            raise RecordError(
                f"the records averaged for {records[0].label} must be of one row and of different training seeds; "
                "give one record a seed."
            )
