"""Cards of sources that have only a few classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsbench.data.card import Card, load_card


def small_card(name: str, folder: Path, splits: Mapping[str, Sequence[str]], images: int) -> Card:
    """The shipped card of a source, but beside split lists of few classes and with few images.

    Args:
        name: Of the source.
        folder: Gets the split lists.
        splits: Split to its classes.
        images: Of all classes together.
    """
    folder.mkdir()
    lists = (f"{split} = {json.dumps(splits.get(split, []))}\n" for split in ("train", "val", "test"))
    (folder / "splits.toml").write_text("".join(lists), encoding="utf-8")
    shipped = load_card(name)
    variant = shipped.variants[0].model_copy(update={"images": images})
    return shipped.model_copy(update={"folder": folder, "variants": (variant,)})
