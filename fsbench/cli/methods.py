"""`fsbench methods`: the methods there are."""

from __future__ import annotations

import inspect
from typing import Any, Final

import click

from fsbench.errors import FsbenchError

__all__ = ["methods"]

_BOUNDS: Final = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


@click.command()
@click.argument("method", required=False)
def methods(method: str | None) -> None:
    """List the methods, or describe one.

    Without METHOD, one line each, those of installed packages too; with it, its hyper-parameters and its description.
    """
    from fsbench.methods.registry import METHODS, hyper_parameters, load_method, value_types
    from fsbench.plugins import registered

    if method is not None:
        found = load_method(method)
        click.echo(f"{method}: {found.label}, learns from {found.learns_from}")
        kinds = value_types(found)
        click.echo("hyper-parameters:" if hyper_parameters(found) else "hyper-parameters: none")
        for name in hyper_parameters(found):
            click.echo(f"  {name}{_range(kinds[name]) if name in kinds else ''}")
        click.echo()
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


def _range(kind: Any) -> str:
    """What values a type takes, as ": integer, at least 0"."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        schema = TypeAdapter[Any](kind, config=ConfigDict(arbitrary_types_allowed=True)).json_schema()
    except PydanticInvalidForJsonSchema:  # a type that no suite can give a value of
        return ""
    each = schema.get("items", schema)
    words = f"{schema['minItems']} or more of: " if "minItems" in schema else ""
    bounds = [f", {said} {each[key]:g}" for key, said in _BOUNDS.items() if key in each]
    return f": {words}{each.get('type', 'any')}{''.join(bounds)}"
