"""tieredImageNet (Ren et al., ICLR 2018): 608 of the classes of ILSVRC 2012, all images of their train folders."""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.listing import Listing
from fsbench.data.sources.ilsvrc_2012 import train_images
from fsbench.data.sources.listed import listed_source, read_lists

__all__ = ["original", "prepare"]


def original(card: Card, origin: Path) -> Listing | None:
    """The classes of the split in ILSVRC's train folder, wherever that is in a folder."""
    found = train_images(origin) or {}
    names = [name for names in read_lists(card.folder / "splits.toml").values() for name in names if name in found]
    return Listing({name: found[name] for name in names}) if names else None


prepare = listed_source(original)
