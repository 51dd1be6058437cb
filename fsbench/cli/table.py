"""`fsbench table`: make the table of records again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fsbench.report.table import RankRule, Table

__all__ = ["CELL_RANKS", "RANKS", "show", "table"]

RANKS = click.option(
    "--ranks",
    "rule",
    type=click.Choice(["metadataset", "paired"]),
    default="metadataset",
    show_default=True,
    help="Rule of the ranks: Meta-Dataset's, or paired differences.",
)


CELL_RANKS = click.option("--cell-ranks", is_flag=True, help="Show ranks in every cell of a table of several sources.")


@click.command("table")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@RANKS
@CELL_RANKS
def table(folder: Path, rule: RankRule, cell_ranks: bool) -> None:
    """Make the table again from all records in FOLDER.

    For example after several runs of parts of a suite.
    """
    from fsbench.report.reading import records_of
    from fsbench.report.write import write_reports

    table = write_reports(records_of(folder), folder, rule=rule, cell_ranks=cell_ranks)
    show(table, cell_ranks=cell_ranks)
    click.echo(f"Every file of the table: {folder}; fsbench report {folder} makes a page of it.", err=True)


def show(table: Table, *, cell_ranks: bool) -> None:
    """Print a table: as it looks on a terminal, as Markdown elsewhere."""
    from fsbench.report.markdown import to_markdown

    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(to_markdown(table, notes=False, cell_ranks=cell_ranks, published=True)))
    else:
        click.echo(to_markdown(table, cell_ranks=cell_ranks, published=True))
