"""Cards of sources that have only a few classes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsbench.data.card import Card, cards_folder, load_card

SHIPPED = cards_folder()  # before a test puts others in their place


def small_card(name: str, folder: Path, splits: Mapping[str, Sequence[str]], images: int) -> Card:
    """The shipped card of a source, but beside split lists of few classes and with few images.

    Args:
        name: Of the source.
        folder: Gets the split lists.
        splits: Split to its classes.
        images: Of all classes together.
    """
    folder.mkdir()
    write_splits(folder, splits)
    shipped = load_card(name)
    variant = shipped.variants[0].model_copy(update={"images": images})
    return shipped.model_copy(update={"folder": folder, "variants": (variant,)})


def write_card(name: str, cards: Path, splits: Mapping[str, Sequence[str]], images: int) -> None:
    """The same as files, in a folder of cards."""
    folder = cards / name
    folder.mkdir(parents=True, exist_ok=True)
    write_splits(folder, splits)
    counts = ", ".join(f"{split} = {len(splits.get(split, []))}" for split in ("train", "val", "test"))
    card = (SHIPPED / name / "card.toml").read_text(encoding="utf-8")
    for line in (f"classes = {{ {counts} }}", f"images = {images}"):
        card, changed = re.subn(f"(?m)^{line.split()[0]} = .*$", line, card)
        assert changed == 1
    (folder / "card.toml").write_text(card, encoding="utf-8")


def write_splits(folder: Path, splits: Mapping[str, Sequence[str]]) -> None:
    """The split lists beside a card."""
    lists = (f"{split} = {json.dumps(splits.get(split, []))}\n" for split in ("train", "val", "test"))
    (folder / "splits.toml").write_text("".join(lists), encoding="utf-8")
