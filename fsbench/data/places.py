"""Where data lies: the root of the sources' files, and the cache of packs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from platformdirs import user_cache_dir

from fsbench.data.card import list_cards

__all__ = ["data_root", "own_packs", "packs_folder", "source_files"]


def data_root(folder: Path | None = None) -> Path:
    """Where sources have their folders: the argument, else `FSBENCH_DATA`, else `datasets` in the working folder."""
    return folder if folder is not None else Path(os.environ.get("FSBENCH_DATA") or "datasets")


def source_files(name: str, root: Path) -> Path:
    """Where the files of a source lie below a data root: in a folder or zip of its name, or in one in `meta_dataset`.

    If there is none of them, it is the folder where they should be.
    """
    places = [root / f"{above}{name}{ending}" for above in ("", "meta_dataset/") for ending in ("", ".zip")]
    return next((place for place in places if place.is_file() or (place.is_dir() and any(place.iterdir()))), places[0])


def packs_folder() -> Path:
    """Where packs lie: `packs` in `FSBENCH_CACHE`, else in the user's cache folder."""
    return Path(os.environ.get("FSBENCH_CACHE") or user_cache_dir("fsbench", appauthor=False)) / "packs"


def own_packs() -> dict[str, dict[int, Path]]:
    """The packs of the user's own sources: name, size in pixels, folder."""
    cards = {card.name for card in list_cards()}
    own: dict[str, dict[int, Path]] = {}
    for path in sorted(packs_folder().glob("*/pack.json")):
        # a pack of a source with a card and a variant has one hyphen more
        match = re.fullmatch(r"(\w+)-(\d+)px", path.parent.name)
        if match and match[1] not in cards:
            own.setdefault(match[1], {})[int(match[2])] = path.parent
    return own
