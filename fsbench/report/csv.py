"""Lines as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

__all__ = ["to_csv"]


def to_csv(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Write a head and lines; None is empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *lines])
    return text.getvalue()
