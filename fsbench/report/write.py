"""The files of a finished table, in every format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsbench.errors import UsageError
from fsbench.files.atomic import write_atomic
from fsbench.records import Record
from fsbench.report.arrange import build_table
from fsbench.report.csv import to_csv
from fsbench.report.markdown import to_markdown
from fsbench.report.reading import records_of
from fsbench.report.table import RankRule, Table
from fsbench.text import path_part

if TYPE_CHECKING:
    from fsbench.episodes.streams import Integers
    from fsbench.report.episodes import Sheet
    from fsbench.report.latex import Notes
    from fsbench.report.table import Column

REPORT = "report"  # the folder of the report in a run's out folder
_BESIDE = ("table.md", "table.tex", "table.csv", "table.json", "differences.csv")

__all__ = ["RANK_COLUMNS", "REPORT", "TABLE_COLUMNS", "write_everything", "write_page", "write_reports"]

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


def write_reports(
    records: Sequence[Record],
    out: Path,
    *,
    rule: RankRule = "metadataset",
    cell_ranks: bool = False,
) -> Table:
    """Write `table.md`, `table.csv` and `ranks.csv` into a folder.

    `table.csv` has one line a record: `TABLE_COLUMNS`, accuracies in percent, `rank` that of the row and
    empty where it has none; way, shot and queries are empty where they vary. Where any record is of another track than
    A, a last column `track` says which, in both. `ranks.csv` has the rows that are ranked in every column.

    Args:
        records: What was measured, of one suite.
        out: The folder; it is created.
        rule: Of the ranks, as in `build_table`.
        cell_ranks: For `table.md`, as in `to_markdown`.

    Returns:
        The table.

    Raises:
        RecordError: The records do not belong into one table.
        OutputError: The folder cannot be written.
    """
    table = build_table(records, ranks=rule)
    _write_table(table, out, cell_ranks=cell_ranks)
    return table


def _write_table(table: Table, out: Path, *, cell_ranks: bool) -> None:
    averages = (
        [line.name, _number(line.average_rank), *([", ".join(line.tracks)] if table.external else [])]
        for line in table.lines
        if line.average_rank is not None
    )
    write_atomic(out / "table.md", to_markdown(table, cell_ranks=cell_ranks, published=True))
    track = ("track",) if table.external else ()
    write_atomic(out / "table.csv", to_csv((*TABLE_COLUMNS, *track), _table_lines(table)))
    write_atomic(out / "ranks.csv", to_csv((*RANK_COLUMNS, *track), averages))


def _table_lines(table: Table) -> Iterator[list[object]]:
    measured = ((line, figure) for line in table.lines for figure in line.figures if figure)
    for line, figure, record in ((*pair, record) for pair in measured for record in pair[1].records):
        identity = record.identity
        yield [
            identity.suite,
            line.name,
            line.backbone,
            "+".join(identity.train_sources),
            identity.source,
            identity.way,
            identity.shot,
            identity.queries,
            identity.episodes,
            _number(record.mean),
            _number(record.ci95),
            "" if figure.rank is None else _number(figure.rank),
            str(line.transductive).lower(),
            identity.train_seed,
            identity.episode_set,
            *([record.track] if table.external else []),
        ]


def _number(value: float) -> str:
    return repr(round(value, 6))


def write_everything(
    folders: Sequence[Path],
    out: Path,
    *,
    rule: RankRule = "metadataset",
    cell_ranks: bool = False,
    notes: Notes = "short",
) -> None:
    """Write the report of one run or of several, with plots; it depends on their records and the packs in the cache.

    Args:
        folders: The out folders of runs.
        out: Where to write; of several runs the tables and plots go into a folder each.
        rule: Of the ranks, as in `build_table`.
        cell_ranks: For `table.md`, as in `to_markdown`.
        notes: Of the LaTeX table.

    Raises:
        RecordError: A folder holds no records, or damaged ones, or ones that do not belong into one table.
        UsageError: Two folders hold results of one suite and have the same name.
        OutputError: The folder cannot be written.
    """
    from fsbench.report.plots import plots

    runs = _titled({folder: records_of(folder) for folder in folders})
    tables = {title: build_table(records, ranks=rule) for title, records in runs.items()}
    written = write_page(tables, out, cell_ranks=cell_ranks, notes=notes)
    for folder, table in zip(written, tables.values(), strict=True):
        for name, content in plots(table).items():
            write_atomic(folder / "plots" / name, content)


def write_page(
    tables: Mapping[str, Table], out: Path, *, cell_ranks: bool = False, notes: Notes = "short"
) -> list[Path]:
    """Write the page of the tables of one run or of several, and their files beside it: a report without its plots.

    Args:
        tables: By the title of each run.
        out: Where to write; of several runs the files go into a folder each.
        cell_ranks: For `table.md`, as in `to_markdown`.
        notes: Of the LaTeX table.

    Returns:
        The folder of every run's files.

    Raises:
        OutputError: The folder cannot be written.
    """
    from fsbench.report.differences import differences_to_csv
    from fsbench.report.episodes import contact_sheets, episode_classes
    from fsbench.report.html import to_html
    from fsbench.report.json import to_json
    from fsbench.report.latex import to_latex

    sheets: dict[Column, tuple[Sheet, ...] | str] = {}
    classes: dict[Column, tuple[Integers, ...] | str] = {}
    files: dict[str, list[str]] = {}
    folders = []
    for title, table in tables.items():
        folder = out / path_part(title).lower() if len(tables) > 1 else out
        _write_table(table, folder, cell_ranks=cell_ranks)
        sheets |= contact_sheets(table)
        classes |= episode_classes(table)
        write_atomic(folder / "table.tex", to_latex(table, notes=notes))
        write_atomic(folder / "table.json", to_json(table))
        write_atomic(folder / "differences.csv", differences_to_csv(table))
        files[title] = [str((folder / name).relative_to(out)) for name in _BESIDE]
        folders.append(folder)
    write_atomic(out / "index.html", to_html(tables, sheets=sheets, classes=classes, files=files))
    return folders


def _titled(runs: Mapping[Path, Sequence[Record]]) -> dict[str, Sequence[Record]]:
    """The runs by suite, and by suite and folder where several are of one suite."""
    suites = [records[0].identity.suite for records in runs.values()]
    titled: dict[str, Sequence[Record]] = {}
    for suite, (folder, records) in zip(suites, runs.items(), strict=True):
        title = suite if suites.count(suite) == 1 else f"{suite} ({folder.resolve().name})"
        if path_part(title).lower() in (path_part(other).lower() for other in titled):
            raise UsageError(f"two of the folders would both be called {title!r} in the report; rename one of them.")
        titled[title] = records
    return titled
