"""WordNet ids are said in words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import fsbench.data
from fsbench.data.words import in_words

CARDS = Path(fsbench.data.__file__).parent / "cards"


def test_every_class_of_ilsvrc_and_its_parts_has_words() -> None:
    for card in ("ilsvrc_2012", "miniimagenet"):
        ids = re.findall(r"n\d{8}", (CARDS / card / "splits.toml").read_text(encoding="utf-8"))
        assert len(ids) in {100, 1000}
        assert not [wnid for wnid in ids if in_words(wnid) == wnid]


def test_they_are_those_of_torchvision_in_the_order_of_the_ids() -> None:
    from torchvision.models import ResNet18_Weights

    words = tomllib.loads((CARDS / "ilsvrc_2012" / "words.toml").read_text(encoding="utf-8"))
    assert list(words) == sorted(words)
    assert list(words.values()) == ResNet18_Weights.DEFAULT.meta["categories"]


def test_other_names_stay() -> None:
    assert [in_words(name) for name in ("n00000000", "Latin/character01", "")] == ["n00000000", "Latin/character01", ""]
