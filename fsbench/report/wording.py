"""Values as a table and its footnote say them, and what a footnote is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Note", "listed", "signed", "span", "steady"]


class Note(NamedTuple):
    """One point of a footnote, as plain text."""

    term: str
    text: str


def listed(values: Iterable[object], separator: str = ", ") -> str:
    """Every value once."""
    return separator.join(dict.fromkeys(map(str, values)))


def signed(points: float) -> str:
    """A difference with its sign."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")


def span(values: Iterable[int]) -> str:
    """One value, or the smallest and the largest."""
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,}–{found[-1]:,}"


def steady(value: float, digits: int = 9) -> float:
    """A figure without the digits in which library versions differ."""
    return float(f"{value:.{digits}g}")
