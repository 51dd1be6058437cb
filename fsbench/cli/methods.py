"""`fsbench methods`: the methods there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsbench.errors import FsbenchError

if TYPE_CHECKING:
    pass

__all__ = ["methods"]


@click.command()
def methods() -> None:
    """List the methods, those of installed packages too, one line each."""
    from fsbench.methods.registry import METHODS, load_method, plugins

    found = {info.name: info.summary for info in METHODS}
    for name, point in plugins().items():
        try:
            found[name] = f"{load_method(name).label} of {point.value}"
        except FsbenchError as error:
            click.echo(f"Warning: {error}", err=True)
    width = max(map(len, found))
    for name, summary in found.items():
        click.echo(f"{name:{width}}  {summary}")
