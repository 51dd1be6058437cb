"""`fsbench report`: everything that records have to say, as a page and as the files of a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsbench.errors import UsageError
from fsbench.files import write_atomic

if TYPE_CHECKING:
    from fsbench.episodes import Integers
    from fsbench.records import Record
    from fsbench.report.sheet import Sheet
    from fsbench.report.table import Column, Table

__all__ = ["report", "write_everything"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=_FOLDER)
@click.option("--out", type=_FOLDER, help="Where to write; default DIR/report, if there is only one DIR.")
def report(folders: tuple[Path, ...], out: Path | None) -> None:
    """Write a report of the records of runs: a page, tables and plots.

    Every DIR is the out folder of a run. The page index.html needs no other file and no network. Beside it lie
    table.md, table.tex, table.json, table.csv, ranks.csv and differences.csv (paired, of all methods), and plots as PDF
    and PNG; of several DIRs each has its own folder of these.
    """
    if out is None and len(folders) > 1:
        raise UsageError(f"{len(folders)} folders have one page together; say with --out where to write it.")
    target = out or folders[0] / "report"
    write_everything(folders, target)
    click.echo(f"The page, and the tables and plots beside it: {target / 'index.html'}", err=True)


def write_everything(folders: Sequence[Path], out: Path) -> None:
    """Write the report of one run or of several; what it holds depends on their records and the packs in the cache.

    Args:
        folders: The out folders of runs.
        out: Where to write; of several runs the tables and plots go into a folder each.

    Raises:
        RecordError: A folder holds no records, or damaged ones, or ones that do not belong into one table.
        UsageError: Two folders hold results of one suite and have the same name.
        OutputError: The folder cannot be written.
    """
    from fsbench.report.differences import differences_to_csv
    from fsbench.report.files import records_in, write_reports
    from fsbench.report.html import to_html
    from fsbench.report.latex import to_latex
    from fsbench.report.plots import plots
    from fsbench.report.sheet import contact_sheets, episode_classes
    from fsbench.report.structured import to_json

    runs = _titled({folder: records_in(folder / "records") for folder in folders})
    tables: dict[str, Table] = {}
    sheets: dict[Column, tuple[Sheet, ...] | str] = {}
    classes: dict[Column, tuple[Integers, ...] | str] = {}
    for title, records in runs.items():
        place = out / _file_name(title) if len(runs) > 1 else out
        tables[title] = table = write_reports(records, place)
        sheets |= contact_sheets(table)
        classes |= episode_classes(table)
        write_atomic(place / "table.tex", to_latex(table))
        write_atomic(place / "table.json", to_json(table))
        write_atomic(place / "differences.csv", differences_to_csv(table))
        for name, content in plots(table).items():
            write_atomic(place / "plots" / name, content)
    write_atomic(out / "index.html", to_html(tables, sheets=sheets, classes=classes))


def _titled(runs: Mapping[Path, Sequence[Record]]) -> dict[str, Sequence[Record]]:
    """The runs by suite, and by suite and folder where several are of one suite."""
    suites = [records[0].identity.suite for records in runs.values()]
    titled: dict[str, Sequence[Record]] = {}
    for suite, (folder, records) in zip(suites, runs.items(), strict=True):
        title = suite if suites.count(suite) == 1 else f"{suite} ({folder.resolve().name})"
        if _file_name(title) in map(_file_name, titled):
            raise UsageError(f"two of the folders would both be called {title!r} in the report; rename one of them.")
        titled[title] = records
    return titled


def _file_name(title: str) -> str:
    """A title as the name of a folder."""
    return re.sub(r"[^\w-]+", "-", title).strip("-").lower() or "table"
