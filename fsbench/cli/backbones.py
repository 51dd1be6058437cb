"""`fsbench backbones`: what can embed images, and what pretrained weights were shown."""

from __future__ import annotations

import importlib.util

import click

__all__ = ["backbones"]


@click.command()
def backbones() -> None:
    """List the backbones, and what weights may have seen.

    Those trained here, the builders of pretrained ones, and the corpora that their weights may be from.
    """
    from fsbench.backbones.corpora import CORPORA
    from fsbench.backbones.registry import BACKBONES
    from fsbench.plugins import registered
    from fsbench.suite_files import list_suites

    click.echo("Trained here:")
    for name in (*BACKBONES, *registered("backbone")):
        click.echo(f"  {name}")
    click.echo("Trained elsewhere, frozen here (build = ...):")
    for library in ("timm", "torchvision", "open_clip"):
        there = importlib.util.find_spec(library) is not None
        otherwise = f"not installed: run `python -m pip install 'fsbench[{library}]'`"
        click.echo(f"  {library}:NAME  {'installed' if there else otherwise}")
    click.echo("  path/to/file.py:Class")
    click.echo("In suites:")
    for suite in list_suites():
        for name, spec in suite.backbones.items():
            click.echo(f"  {suite.name}: {name}  {spec.build}, {', '.join(_corpora(spec.build, spec.pretrained_on))}")
    click.echo(f"Corpora: {', '.join(CORPORA)}")
    click.echo("Test classes that share nothing with them, as far as is known:")
    for line in _clear():
        click.echo(f"  {line}")


def _corpora(build: str, said: list[str] | None) -> list[str]:
    from fsbench.backbones.corpora import corpora_of

    return said or list(corpora_of(build.partition(".")[2])) or ["unknown"]


def _clear() -> list[str]:
    from fsbench.data.card import list_cards

    found: dict[str, list[str]] = {}
    for card in list_cards():
        for corpus, kind in card.overlap.items():
            if kind == "none":
                found.setdefault(corpus, []).append(card.name)
    return [f"{corpus}: {', '.join(names)}" for corpus, names in found.items()]
