"""What a check is, and what its texts and comparisons share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from fsbench.conformance.subject import Subject

__all__ = ["Check", "NotApplicableError", "check", "difference", "same"]

_Look: TypeAlias = Callable[[Subject], str | None]

_CLOSE: Final = 1e-8  # relative, in float64: far above rounding, far below anything that is meant


class NotApplicableError(Exception):
    """A check has nothing to say of this method; the text says why."""


@dataclass(frozen=True)
class Check:
    """One thing that every method must satisfy.

    Attributes:
        name: In the table of checks.
        expected: What must hold, in a few sentences.
        usually: How it usually comes about that it does not hold.
        look: From a subject to what was seen of a failure, or None; what it raises is a failure too.
    """

    name: str
    expected: str
    usually: str
    look: _Look


def check(name: str, *, expected: str, usually: str) -> Callable[[_Look], Check]:
    """Make a check of a function that looks at a subject."""
    return lambda look: Check(name, expected, usually, look)


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference between two tensors of one shape, relative to 1 plus the size of `other`'s entry."""
    one, other = one.detach(), other.detach()
    apart = torch.where(one == other, 0, (one - other).abs() / (1 + other.abs()))
    return float(apart.nan_to_num(nan=torch.inf).max())


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding."""
    return difference(one, other) <= _CLOSE
