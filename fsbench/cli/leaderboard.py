"""`fsbench leaderboard`: the results of many folders, ranked where they can be compared."""

from __future__ import annotations

from pathlib import Path

import click

from fsbench.cli.options import FOLDERS

__all__ = ["leaderboard"]


@click.command()
@FOLDERS
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where to write the page.")
def leaderboard(folders: tuple[Path, ...], out: Path) -> None:
    """Write a page that ranks many runs.

    Every FOLDER is the out folder of a run. Rows are ranked together only if they saw the very same episodes and are
    of one track; transductive rows, and records that `fsbench verify` would refuse, stand below a rule. The page
    OUT/index.html needs no other file and no network, and links the folders by relative paths.
    """
    from fsbench.report.leaderboard_page import write_leaderboard

    click.echo(f"The page: {write_leaderboard(folders, out)}", err=True)
