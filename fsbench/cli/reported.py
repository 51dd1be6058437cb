"""`fsbench reported`: the published results, as tables."""

from __future__ import annotations

import click

from fsbench.errors import UsageError

__all__ = ["reported"]


@click.command()
@click.argument("suite", required=False)
@click.option("--suite", "named", metavar="SUITE", help="The same as the argument.")
@click.option("--method", help="Only this method, as published or as in `fsbench methods`.")
@click.option("--shot", type=click.IntRange(min=1), help="Only this many support images per class.")
def reported(suite: str | None, named: str | None, method: str | None, shot: int | None) -> None:
    """Print the published results of SUITE, each with its source.

    Without SUITE, list the suites that have any. They are what others report, and were not measured here.
    """
    from fsbench.published.results import load_reported, reported_suites
    from fsbench.report.fiveway import FIVE_WAY, five_way_page
    from fsbench.report.reported import reported_page, select_results

    if suite and named and suite != named:
        raise UsageError(f"the suite is given twice, as {suite!r} and {named!r}; keep one of them.")
    chosen = suite or named
    if chosen is None:
        width = max(map(len, reported_suites()))
        for name in reported_suites():
            click.echo(f"{name:{width}}  {len(load_reported(name))} results")
        click.echo(f"{FIVE_WAY:{width}}  five methods of these on miniImageNet and tieredImageNet")
        return
    if chosen == FIVE_WAY:
        if method is not None or shot is not None:
            raise UsageError(f"{FIVE_WAY} is printed whole; leave --method and --shot out.")
        click.echo("\n\n".join(five_way_page()))
        return
    results = load_reported(chosen)
    click.echo("\n\n".join(reported_page(chosen, results, select_results(chosen, results, method, shot))))
