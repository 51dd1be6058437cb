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
    """Print a table: as Markdown looks on a terminal that has room for its figures, and elsewhere as it is."""
    from fsbench.report.markdown import to_markdown

    on_terminal = sys.stdout.isatty()
    text = to_markdown(table, notes=not on_terminal, cell_ranks=cell_ranks, published=True)
    if on_terminal:
        from rich.console import Console
        from rich.markdown import Markdown

        console, page = Console(), Markdown(text)
        with console.capture() as drawn:
            console.print(page)
        if drawn.get().count("…") == text.count("…"):  # else it has cut something
            console.print(page)
            return
    click.echo(text)
