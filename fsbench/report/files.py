"""The files of a finished table: Markdown to read, CSV to work with."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fsbench.errors import RecordError
from fsbench.files import write_atomic
from fsbench.methods import METHODS
from fsbench.records import Record, read_record, reading_many
from fsbench.report.markdown import to_markdown
from fsbench.report.table import RankRule, Table, build_table
from fsbench.suite import list_suites

__all__ = ["RANK_COLUMNS", "TABLE_COLUMNS", "records_in", "write_reports"]

TABLE_COLUMNS = (
    "suite",
    "method",
    "backbone",
    "train_source",
    "test_source",
    "way",
    "shot",
    "queries",
    "episodes",
    "mean",
    "ci95",
    "rank",
    "transductive",
    "train_seed",
    "episode_set",
)
RANK_COLUMNS = ("method", "average_rank")


def records_in(folder: Path) -> list[Record]:
    """All records in a folder, ordered: rows as in `fsbench methods`, sources as in a suite that comes with fsbench.

    What is in neither comes after these, by name.

    Raises:
        RecordError: There is none, or one is damaged.
    """
    with reading_many():
        records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    if not records:
        raise RecordError(f"there are no records in {folder}; run a suite with --out {folder.parent} first.")
    methods = [info.name for info in METHODS]
    sources = {suite.name: suite.sources.test for suite in list_suites()}

    def place(record: Record) -> tuple[int, int]:
        identity = record.identity
        return _place(identity.method, methods), _place(identity.source, sources.get(identity.suite, []))

    return sorted(records, key=place)


def write_reports(
    records: Sequence[Record],
    out: Path,
    missing: Sequence[str] = (),
    *,
    rule: RankRule = "metadataset",
    ranks: bool = False,
) -> Table:
    """Write `table.md`, `table.csv` and `ranks.csv` into a folder.

    `table.csv` has one line a record: `TABLE_COLUMNS`, accuracies in percent, `rank` that of the row and
    empty where it has none; way, shot and queries are empty where they vary. `ranks.csv` has the rows that
    are ranked in every column.

    Args:
        records: What was measured, of one suite.
        out: The folder; it is created.
        missing: Why planned cells have no record, a sentence each.
        rule: Of the ranks, as in `build_table`.
        ranks: For `table.md`, as in `to_markdown`.

    Returns:
        The table.

    Raises:
        RecordError: The records do not belong into one table.
        OutputError: The folder cannot be written.
    """
    table = build_table(records, missing=missing, ranks=rule)
    averages = ([row.name, _number(row.average_rank)] for row in table.rows if row.average_rank is not None)
    write_atomic(out / "table.md", to_markdown(table, ranks=ranks, published=True))
    write_atomic(out / "table.csv", _csv(TABLE_COLUMNS, _table_lines(table)))
    write_atomic(out / "ranks.csv", _csv(RANK_COLUMNS, averages))
    return table


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _table_lines(table: Table) -> Iterator[list[object]]:
    places = ((row, cell, record) for row in table.rows for cell in row.cells if cell for record in cell.records)
    for row, cell, record in places:
        identity = record.identity
        yield [
            identity.suite,
            row.name,
            row.backbone,
            "+".join(identity.train_sources),
            identity.source,
            identity.way,
            identity.shot,
            identity.queries,
            identity.episodes,
            _number(record.mean),
            _number(record.ci95),
            "" if cell.rank is None else _number(cell.rank),
            str(row.transductive).lower(),
            identity.train_seed,
            identity.episode_set,
        ]


def _number(value: float) -> str:
    return repr(round(value, 6))


def _csv(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *lines])
    return text.getvalue()
