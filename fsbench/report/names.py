"""What the rows of a table are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fsbench.records import Record
from fsbench.setting import row_label

__all__ = ["row_names"]


def row_names(first: Mapping[str, Record]) -> dict[str, str]:
    """The names of rows, each of its own.

    A row is called by its label. Rows of one label add their backbone to it, and those of one backbone too, their key.

    Args:
        first: Of every row, by its key, one record.
    """
    plain = {row: row_label(record.label, transductive=record.identity.transductive) for row, record in first.items()}
    on_backbone = {row: f"{name} ({first[row].backbone_label})" for row, name in plain.items()}
    labels, both = Counter(plain.values()), Counter(on_backbone.values())

    def called(row: str) -> str:
        if labels[plain[row]] == 1:
            return plain[row]
        return on_backbone[row] if both[on_backbone[row]] == 1 else f"{plain[row]} [{row}]"

    return {row: called(row) for row in first}
