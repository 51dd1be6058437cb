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
    keyed = {row: f"{name} [{row}]" for row, name in plain.items()}
    names = plain
    for longer in (on_backbone, keyed, keyed):  # a label may look like any of these
        times = Counter(names.values())
        names = {row: name if times[name] == 1 else longer[row] for row, name in names.items()}
    return names
