"""The commands `fsbench data ...`: what there is, prepare it, check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["data"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


def _three(context: click.Context, option: click.Parameter, value: str | None) -> tuple[float, float, float] | None:
    if value is None:
        return None
    try:
        train, val, test = map(float, value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not three numbers such as 0.64,0.16,0.2.") from error
    return train, val, test


@click.group()
def data() -> None:
    """Sources of images: list, prepare and verify them."""


@data.command("list")
@click.option("--markdown", is_flag=True, help="A page about them instead: their files, licences and sizes.")
def list_(markdown: bool) -> None:
    """List the sources, their variants and what is prepared."""
    from fsbench.data.card import list_cards
    from fsbench.data.overview import sources_to_markdown
    from fsbench.data.places import own_packs
    from fsbench.data.prepare import pack_folder

    if markdown:
        click.echo(sources_to_markdown(list_cards()), nl=False)
        return
    for card in list_cards():
        states = []
        for variant in card.variants:
            prepared = (pack_folder(f"{card.name}:{variant.name}") / "pack.json").exists()
            states.append(f"{variant.name} ({'prepared' if prepared else 'not prepared'})")
        click.echo(f"{card.name:<16} {card.title:<16} {', '.join(states)}")
    for name, sizes in own_packs().items():
        click.echo(f"{name:<16} {'(own)':<16} {', '.join(f'{size} px (prepared)' for size in sorted(sizes))}")


@data.command()
@click.argument("source")
@click.option("--from", "origin", type=click.Path(path_type=Path), help="Where the source's files are.")
@click.option("--data-root", type=_FOLDER, help="Where sources have their folders [FSBENCH_DATA, else datasets].")
@click.option("--size", type=click.IntRange(8, 1024), help="Height and width, pixels [the card's; own: 84].")
@click.option("--download", is_flag=True, help="Fetch the files first, where the source allows it.")
@click.option("--fresh", is_flag=True, help="Prepare again what is prepared.")
@click.option(
    "--splits", type=click.Path(path_type=Path), help="Own source: JSON or TOML file of every split's classes."
)
@click.option(
    "--fractions", callback=_three, metavar="TRAIN,VAL,TEST", help="Own source: classes for each split [0.64,0.16,0.2]."
)
@click.option("--seed", type=int, help="Own source: draws the split [0].")
@click.option("--channels", type=click.Choice(["1", "3"]), help="Own source: grey or RGB [3].")
@click.option("--skip-unreadable", is_flag=True, default=None, help="Own source: list and count unreadable images.")
def prepare(
    source: str,
    origin: Path | None,
    data_root: Path | None,
    size: int | None,
    download: bool,
    fresh: bool,
    splits: Path | None,
    fractions: tuple[float, float, float] | None,
    seed: int | None,
    channels: str | None,
    skip_unreadable: bool | None,
) -> None:
    """Prepare SOURCE: one from `fsbench data list`, "name:variant" for another variant of it, or one of your own.

    A name that is not in the list, together with --from, makes an own source of a folder or zip with a folder of
    images for every class.
    """
    from fsbench.data import prepare as preparation
    from fsbench.data.card import list_cards, plugins
    from fsbench.data.places import own_packs
    from fsbench.data.sources.folder import OwnSource
    from fsbench.errors import UsageError, unknown

    own: dict[str, Any] = {
        "splits": splits,
        "fractions": fractions,
        "seed": seed,
        "channels": channels and int(channels),
        "skip_unreadable": skip_unreadable,
    }
    given = {key: value for key, value in own.items() if value is not None}
    names = dict.fromkeys([*(card.name for card in list_cards()), *plugins()])  # of broken packages too
    declared = source.partition(":")[0] in names
    if origin is not None and not declared:
        if download:
            raise UsageError(f"--download fetches sources of `fsbench data list`, not {source!r}.")
        if size is not None:
            given["size"] = size
        pack = preparation.prepare_own(source, origin, OwnSource(**given), fresh=fresh)
    elif origin is None and not declared and source not in own_packs():
        raise unknown("source", source, [*names, *own_packs()], otherwise="for images of your own use --from FOLDER")
    elif given:
        option = "--" + next(iter(given)).replace("_", "-")
        if not declared:
            raise UsageError(f"{option} needs the images of {source!r}; use --from FOLDER.")
        raise UsageError(f"{option} is for sources of your own, which are prepared with --from; {source!r} is not.")
    elif origin is not None and (download or data_root is not None):
        option = "--download" if download else "--data-root"
        raise UsageError(f"--from says where the files of {source!r} are, and {option} says otherwise; leave one out.")
    else:
        if download:
            preparation.download(source, data_root=data_root)
        pack = preparation.ensure_pack(source, size=size, data_root=data_root, origin=origin, fresh=fresh)
    click.echo(preparation.describe(pack))


@data.command()
@click.argument("source")
@click.option("--size", type=click.IntRange(8, 1024), help="Height and width, pixels.")
def verify(source: str, size: int | None) -> None:
    """Read the prepared SOURCE again and compare it with its hashes and its card."""
    from fsbench.data import prepare as preparation

    pack = preparation.verify(source, size=size)
    click.echo(preparation.describe(pack))
    click.echo(f"intact, SHA-256 {pack.digest}")
