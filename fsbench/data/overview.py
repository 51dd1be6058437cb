"""The page about all sources that `datasets/README.md` is: what to put where, how to get it, under which terms."""

from __future__ import annotations

from collections.abc import Iterable

from fsbench.data.card import Card

__all__ = ["sources_to_markdown"]

_HEAD = """\
# Your images

This is where `fsbench` looks for the files of a source unless told otherwise (`--data-root`, `FSBENCH_DATA`); git keeps
nothing in this folder but this page, which `fsbench data list --markdown > datasets/README.md` makes from the cards of
the sources. In what forms the files of a source may lie there stands in [docs/data.md](../docs/data.md).
"""


def sources_to_markdown(cards: Iterable[Card]) -> str:
    """A page with a section for every source, as its card declares it."""
    return "\n".join([_HEAD, *map(_section, cards)])


def _section(card: Card) -> str:
    lines = [
        f"## {card.title} (`{card.name}`)\n",
        f"{card.description}\n",
        f"- Put here: {', '.join(f'`{card.name}/{file}`' for file in card.files) or 'nothing, it needs no files'}",
    ]
    if card.obtain:
        lines.append(f"- How to get it: {card.obtain}{_download(card)}")
    lines += [f"- Licence: {card.licence}", f"- Homepage: <{card.homepage}>", f"- Cite: {card.citation}"]
    for number, variant in enumerate(card.variants):
        counts = ", ".join(f"{count:,} {split}" for split, count in variant.classes)
        name = f"`{card.name}`" if number == 0 else f"`{card.name}:{variant.name}`"
        lines.append(f"- {name}: {variant.images:,} images; classes: {counts}; {variant.description}")
    return "\n".join(lines) + "\n"


def _download(card: Card) -> str:
    return f"; or run `fsbench data prepare {card.name} --download`" if card.download else ""
