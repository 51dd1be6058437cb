"""`fsbench cite`: what to cite with a table, as BibTeX."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["cite"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--suite", "suite_name", help="All of a suite instead of what the records in FOLDER hold.")
def cite(folder: Path | None, suite_name: str | None) -> None:
    """Print what to cite with a table, as BibTeX.

    It is fsbench, and the papers of the sources and methods.
    """
    from fsbench import __version__
    from fsbench.errors import UsageError
    from fsbench.published.citations import cited
    from fsbench.report.reading import records_of
    from fsbench.suite_files import load_suite

    if (folder is None) == (suite_name is None):
        raise UsageError("give either a FOLDER with records, or --suite NAME.")
    if folder is not None:
        cells = [record.identity for record in records_of(folder)]
        methods = {cell.method for cell in cells}
        sources = {source for cell in cells for source in (cell.source, *cell.train_sources)}
    else:
        suite = load_suite(suite_name or "")
        methods = {row.method for row in suite.methods.values()}
        sources = {*suite.sources.train, *suite.sources.test}
    text, unknown = cited(methods, sources, __version__)
    click.echo(text, nl=False)
    if unknown:
        click.echo(f"No paper is known here of: {', '.join(unknown)}.", err=True)
