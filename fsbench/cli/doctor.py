"""`fsbench doctor`: what this machine has, and what a run would use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

__all__ = ["doctor"]


@click.command()
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(data_root: Path | None, as_json: bool) -> None:
    """Show what this machine has, and what `fsbench run` would use."""
    from fsbench.run.machine import describe_machine

    found = describe_machine(data_root)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, text in _lines(found):
        click.echo(f"{name:<10} {text}")


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    system, processor, data, run = found["system"], found["processor"], found["data"], found["run"]
    optional = ", ".join(f"{name} {version or 'absent'}" for name, version in system["optional"].items())
    yield "system", f"{system['platform']}, Python {system['python']}"
    yield "versions", f"fsbench {system['fsbench']}, torch {system['torch']}; optional: {optional}"
    memory = "unknown" if processor["memory"] is None else f"{processor['memory']} GiB"
    yield "processor", f"{processor['name']}, {processor['cores']} cores, memory {memory}"
    for gpu in found["gpus"]:
        yield "gpu", f"{gpu['name']}, memory {gpu['memory']} GiB"
    if not found["gpus"]:
        yield "gpu", "none that torch can use"
    yield "data", f"{data['files']}: {', '.join(data['sources']) or 'no files of any source'}"
    if data["missing"]:
        yield "missing", f"{', '.join(data['missing'])} (fsbench data list says what each needs)"
    yield "cache", f"{data['packs']['folder']}: {data['packs']['number']} packs; free disk {data['free']} GiB"
    yield "run", f"device {run['device']}, {run['precision']} in backbones, {run['threads']} threads"
