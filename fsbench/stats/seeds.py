"""Many cells, each trained again with a few seeds: Student's t with the noise of training learnt from all of them.

Three differences tell little of their own spread, so a t test of one cell among many hardly ever finds anything. The
cells of a table are alike, though. Each cell's variance is therefore drawn towards a common one, the more, the less
the variances differ, and the t test gets the degrees of freedom that this is worth. (Smyth, "Linear models and
empirical Bayes methods for assessing differential expression in microarray experiments", Statistical Applications in
Genetics and Molecular Biology, 2004.)

What is assumed: the means of seeds are about normal; the variances of the cells are as if drawn from one scaled inverse
χ² distribution, which is estimated; equal seeds resemble each other on both sides as much in one cell as in another. A
cell noisier than that makes false alarms likelier: `benchmarks/compare_power.py` simulates by how much.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import polygamma, psi, stdtr, stdtrit  # scipy.stats has the same, and takes 1.6 s to import

from fsbench.errors import RecordError
from fsbench.stats.paired import Difference

__all__ = ["SeedMeans", "seed_differences"]

_MOST_FREEDOM: Final = 1e6  # of the common variance; beyond, the variances do not differ

_K = TypeVar("_K", bound=Hashable)
_Floats = npt.NDArray[np.float64]


class SeedMeans(NamedTuple):
    """The mean accuracies of a cell on both sides, percent.

    Attributes:
        base: Of every training seed [seeds].
        new: Of the same seeds in the same order [seeds].
        step: The least by which two such means can differ, 100 / queries. Means that agree by chance
            show no less variance than such steps have, step² / 12.
    """

    base: npt.ArrayLike
    new: npt.ArrayLike
    step: float


def seed_differences(cells: Mapping[_K, SeedMeans]) -> dict[_K, Difference]:
    """The mean of every cell's differences between equal seeds, new minus base, with a moderated t test of it.

    A single cell gets the paired t test. Among several, a cell's own variance is the larger of two: that of its
    differences, and that of its sums base + new, scaled by what the two are to each other over all cells. The
    sums are independent of the differences where both sides are equally noisy, and tell of the same noise.

    Args:
        cells: Cell to its means; all cells of a comparison that were trained again, and none in which nothing
            has changed, which would tell of no noise.

    Raises:
        RecordError: A cell has fewer than two seeds, not the same number on both sides, or a mean that is not finite.
    """
    if not cells:
        return {}
    differences, sums = [], []
    for cell, (base, new, _) in cells.items():
        sides = np.asarray(base, dtype=np.float64), np.asarray(new, dtype=np.float64)
        if sides[0].ndim != 1 or sides[0].shape != sides[1].shape or sides[0].size < 2:
            raise RecordError(f"{cell} needs the means of the same two or more training seeds on both sides.")
        if not np.isfinite(sides).all():
            raise RecordError(f"{cell} has a mean accuracy that is NaN or infinite, which no test can use.")
        differences.append(sides[1] - sides[0])
        sums.append(sides[1] + sides[0])
    seeds = np.array([sample.size for sample in differences])
    least = np.array([means.step**2 / 12 for means in cells.values()])
    variance, freedom = _moderated(_variances(differences, least), _variances(sums, least), seeds - 1)
    error = np.sqrt(variance / seeds)
    mean = np.array([sample.mean() for sample in differences])
    found = zip(mean, stdtrit(freedom, 0.975) * error, 2 * stdtr(freedom, -abs(mean) / error), strict=True)
    return {cell: Difference(*map(float, figures)) for cell, figures in zip(cells, found, strict=True)}


def _variances(samples: list[_Floats], least: _Floats) -> _Floats:
    return np.maximum([sample.var(ddof=1) for sample in samples], least)


def _moderated(differences: _Floats, sums: _Floats, freedom: npt.NDArray[np.int64]) -> tuple[_Floats, _Floats]:
    """Of every cell the moderated variance of its differences, and the degrees of freedom [cells].

    These are never more than all the differences have together.
    """
    if len(differences) == 1:
        return differences, freedom.astype(np.float64)
    pooled = float(freedom @ differences / freedom.sum())
    scaled = sums * (freedom @ differences) / (freedom @ sums)
    common, prior = _common((differences + scaled) / 2, 2 * freedom)
    if math.isinf(prior):
        return np.full(len(differences), pooled), np.full(len(differences), float(freedom.sum()))
    own = np.maximum(differences, (differences + scaled) / 2)
    moderated = (prior * common + 2 * freedom * own) / (prior + 2 * freedom)
    return moderated, np.minimum(prior + 2.0 * freedom, freedom.sum())


def _common(variances: _Floats, freedom: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The common variance and its degrees of freedom, by the moments of the variances' logarithms (Smyth, section 6.2).

    Infinite degrees: the variances do not differ more than samples of one variance would.
    """
    logarithms = np.log(variances) - psi(freedom / 2) + np.log(freedom / 2)
    beyond = float(logarithms.var(ddof=1) - polygamma(1, freedom / 2).mean())
    if beyond <= float(polygamma(1, _MOST_FREEDOM / 2)):
        return math.nan, math.inf
    half = _inverse_trigamma(beyond)
    return math.exp(float(logarithms.mean()) + float(psi(half)) - math.log(half)), 2 * half


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function has this positive value, by Newton's method (Smyth, appendix)."""
    at = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, at))
        move = trigamma * (1 - trigamma / value) / float(polygamma(2, at))
        at += move
        if abs(move) < 1e-9 * at:
            break
    return at
