"""`fsbench rank`: the ranks of any table, ours or published."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = [
    "rank",
]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON: average ranks, and ranks by test source.")
def rank(file: Path, as_json: bool) -> None:
    """Rank the methods of a CSV FILE by Meta-Dataset's rule.

    The file has the columns test_source, method, mean and ci95, one line a method and test source. Where it
    also has several values of way or shot, each source, way and shot is ranked on its own.
    """
    from fsbench.report.ranking import rank_file

    ranking = rank_file(file)
    if ranking.left_out:
        click.echo(f"left out, being transductive: {', '.join(ranking.left_out)}", err=True)
    if ranking.other_tracks:
        click.echo(f"left out, being of another track: {', '.join(ranking.other_tracks)}", err=True)
    if as_json:
        click.echo(json.dumps({"average": ranking.average, "ranks": ranking.ranks}, indent=1, ensure_ascii=False))
        return
    from tabulate import tabulate

    lines = [
        [source, *(f"{ranks[method]:.1f}" for method in ranking.average)] for source, ranks in ranking.ranks.items()
    ]
    lines.append(["average rank", *(f"{average:.2f}" for average in ranking.average.values())])
    click.echo(tabulate(lines, headers=["", *ranking.average], tablefmt="pretty", stralign="right"))
