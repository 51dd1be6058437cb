"""The records of a run, in the order of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsbench.errors import RecordError
from fsbench.provenance import read_suite_order
from fsbench.record_files import read_record, reading_many, record_files
from fsbench.records import Record

__all__ = ["records_of"]


def records_of(folder: Path) -> list[Record]:
    """All records of a run, rows and sources ordered as in its suite.

    What the suite does not name comes after these, by row and source; so does all where an earlier version of
    fsbench left no suite.

    Args:
        folder: The out folder of the run, or the `records` in it.

    Raises:
        RecordError: There is no record, or one or the suite is damaged.
    """
    out = folder.parent if folder.name == "records" else folder
    with reading_many():
        records = [read_record(path) for path in record_files(folder)]
    if not records:
        raise RecordError(f"there are no records in {folder}; run a suite with --out {out} first.")
    suite = read_suite_order(out)
    rows = [] if suite is None else [row.row for row in suite.rows]
    sources = () if suite is None else suite.sources

    def order(record: Record) -> tuple[int, str, int, str]:
        row, source = record.identity.row, record.identity.source
        return _index(row, rows), row, _index(source, sources), source

    return sorted(records, key=order)


def _index(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)
