"""`fsbench suites`: the suites there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    pass

__all__ = ["suites"]


@click.command()
def suites() -> None:
    """List the suites, one line each."""
    from fsbench.suite import list_suites

    found = list_suites()
    width = max(len(suite.name) for suite in found)
    for suite in found:
        click.echo(f"{suite.name:{width}}  {suite.title}")
