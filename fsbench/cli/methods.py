"""`fsbench methods`: the methods there are."""

from __future__ import annotations

import inspect

import click

from fsbench.errors import FsbenchError

__all__ = ["methods"]


@click.command()
@click.argument("method", required=False)
def methods(method: str | None) -> None:
    """List the methods, or describe one.

    Without METHOD one line each, those of installed packages too; else its hyper-parameters and what it says of itself.
    """
    from fsbench.methods.registry import METHODS, hyper_parameters, load_method
    from fsbench.plugins import registered

    if method is not None:
        found = load_method(method)
        click.echo(f"{method}: {found.label}, learns from {found.learns_from}")
        click.echo(f"hyper-parameters: {', '.join(hyper_parameters(found)) or 'none'}\n")
        click.echo(inspect.getdoc(found) or "")
        return
    lines = {info.name: info.summary for info in METHODS}
    for name, point in registered("method").items():
        try:
            lines[name] = f"{load_method(name).label} of {point.value}"
        except FsbenchError as error:
            click.echo(f"Warning: {error}", err=True)
    width = max(map(len, lines))
    for name, summary in lines.items():
        click.echo(f"{name:{width}}  {summary}")
