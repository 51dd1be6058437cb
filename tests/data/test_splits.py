"""The shipped split lists of sources of natural images."""

from __future__ import annotations

import re
import tomllib
from hashlib import sha256

import pytest

from fsbench.data.card import load_card
from fsbench.data.pack import SPLITS
from fsbench.data.sources.listed import read_lists

IMAGES = {  # as published, all splits together
    "cifar_fs": 60_000,
    "fc100": 60_000,
    "fungi": 64_449 + 12_195 + 13_116,
    "ilsvrc_2012": 915_249 + 199_833 + 165_682,
    "mscoco": 513_021 + 346_980,
    "quickdraw": 34_776_331 + 7_939_640 + 7_710_295,
    "tieredimagenet": 448_695 + 124_261 + 206_209,
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_split_list_has_as_many_classes_as_the_card_says_and_none_twice(name: str) -> None:
    card = load_card(name)
    splits = read_lists(card.folder / "splits.toml")
    assert {split: len(names) for split, names in splits.items()} == card.variant().classes.model_dump()
    assert all(names == sorted(names) for names in splits.values())
    members = [name for names in splits.values() for name in names]
    assert len(members) == len(set(members))
    assert card.variant().images == IMAGES[name]


def test_cifar_fs_and_fc100_split_the_same_hundred_classes() -> None:
    members = [
        {name for names in read_lists(load_card(source).folder / "splits.toml").values() for name in names}
        for source in ("cifar_fs", "fc100")
    ]
    assert members[0] == members[1]
    assert len(members[0]) == 100


def test_the_classes_of_tieredimagenet_are_classes_of_ilsvrc() -> None:
    tiered, all_classes = (
        {name for names in read_lists(load_card(source).folder / "splits.toml").values() for name in names}
        for source in ("tieredimagenet", "ilsvrc_2012")
    )
    assert tiered < all_classes
    assert all(re.fullmatch(r"n\d{8}", name) for name in all_classes)


def test_the_names_of_fungi_count_through_all_categories() -> None:
    splits = read_lists(load_card("fungi").folder / "splits.toml")
    assert sorted(int(name[:4]) for split in SPLITS for name in splits[split]) == list(range(1394))


def test_meta_dataset_leaves_out_403_images_of_ilsvrc() -> None:
    card = load_card("ilsvrc_2012")
    duplicates = tomllib.loads((card.folder / "duplicates.toml").read_text())
    known = {name for names in read_lists(card.folder / "splits.toml").values() for name in names}
    assert set(duplicates) < known
    images = sorted(f"{name}_{number}" for name, numbers in duplicates.items() for number in numbers)
    assert len(set(images)) == 1_281_167 - card.variant().images == 403
    compared = "d4d7a41c52d358060265714fa250615d2e2e595ea814b3568e5cded88855cea8"  # with Meta-Dataset's three lists
    assert sha256("\n".join(images).encode()).hexdigest() == compared
