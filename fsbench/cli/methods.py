"""`fsbench methods`: the methods there are."""

from __future__ import annotations

import click

from fsbench.errors import FsbenchError

__all__ = ["methods"]


@click.command()
def methods() -> None:
    """List the methods, those of installed packages too, one line each."""
    from fsbench.methods.registry import METHODS, load_method
    from fsbench.plugins import registered

    found = {info.name: info.summary for info in METHODS}
    for name, point in registered("method").items():
        try:
            found[name] = f"{load_method(name).label} of {point.value}"
        except FsbenchError as error:
            click.echo(f"Warning: {error}", err=True)
    width = max(map(len, found))
    for name, summary in found.items():
        click.echo(f"{name:{width}}  {summary}")
