"""Lines as CSV text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

__all__ = ["to_csv"]

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?\Z")


def to_csv(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Write a head and lines; None is empty, and what a spreadsheet would take for a formula gets a quote first."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *(map(_inert, line) for line in lines)])
    return text.getvalue()


def _inert(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.match(cell)
    return f"'{cell}" if is_formula else cell
