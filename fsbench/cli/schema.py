"""`fsbench schema`: the JSON Schema of what people write and read."""

from __future__ import annotations

import json

import click

__all__ = ["schema"]


@click.command()
@click.argument("kind", type=click.Choice(["suite", "record"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of suite files, or of records.

    A suite file may leave out what its base says, so its schema asks for nothing that is missing.
    """
    from fsbench.records import Record
    from fsbench.suite import Suite

    found = Suite.model_json_schema() if kind == "suite" else Record.model_json_schema()
    if kind == "suite":
        for table in (found, *found["$defs"].values()):
            table.pop("required", None)
        found["properties"]["base"] = {"type": "string", "description": "A suite that this one builds on, or its path"}
    else:
        found["properties"]["checksum"] = {"type": "string", "description": "SHA-256 of all else, as canonical JSON"}
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
