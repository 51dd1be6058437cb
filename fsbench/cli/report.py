"""`fsbench report`: everything that records have to say, as a page and as the files of a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsbench.cli.options import FOLDERS
from fsbench.cli.table import CELL_RANKS, RANKS
from fsbench.errors import UsageError

if TYPE_CHECKING:
    from fsbench.report.latex import Notes
    from fsbench.report.table import RankRule

__all__ = [
    "report",
]


@click.command()
@FOLDERS
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write; default FOLDER/report, if there is only one FOLDER.",
)
@RANKS
@CELL_RANKS
@click.option(
    "--notes",
    type=click.Choice(["short", "full"]),
    default="short",
    show_default=True,
    help="Below the LaTeX table: what a caption needs, or all that there is to know of its figures.",
)
def report(folders: tuple[Path, ...], out: Path | None, rule: RankRule, cell_ranks: bool, notes: Notes) -> None:
    """Write a report of the records of runs: a page, tables and plots.

    Every FOLDER is the out folder of a run. The page index.html needs no other file and no network. Beside it lie
    table.md, table.tex, table.json, table.csv, ranks.csv and differences.csv (paired, of all methods), and plots as PDF
    and PNG; of several FOLDERs each has its own folder of these.
    """
    if out is None and len(folders) > 1:
        raise UsageError(f"{len(folders)} folders have one page together; use --out to say where to write it.")
    from fsbench.report.write import REPORT, write_everything

    target = out or folders[0] / REPORT
    write_everything(folders, target, rule=rule, cell_ranks=cell_ranks, notes=notes)
    click.echo(f"The page, and the tables and plots beside it: {target / 'index.html'}", err=True)
