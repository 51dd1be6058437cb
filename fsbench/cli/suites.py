"""`fsbench suites`: the suites there are."""

from __future__ import annotations

import click

from fsbench.errors import FsbenchError

__all__ = ["suites"]


@click.command()
def suites() -> None:
    """List the suites.

    One line each, those of installed packages too.
    """
    from fsbench.suite_files import load_suite, suite_names

    found = {}
    for name in suite_names():
        try:
            found[name] = load_suite(name).title
        except FsbenchError as error:
            click.echo(f"Warning: {error}", err=True)
    width = max(map(len, found))
    for name, title in found.items():
        click.echo(f"{name:{width}}  {title}")
