from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fsbench.data.card import Card, cards_folder, list_cards, load_card
from fsbench.data.pack import SPLITS
from fsbench.errors import DataError, UsageError


def test_every_shipped_card_is_valid_and_lies_in_the_folder_of_its_name() -> None:
    cards = list_cards()
    assert "omniglot" in [card.name for card in cards]
    for card in cards:
        assert card.folder == cards_folder() / card.name
        assert len({variant.name for variant in card.variants}) == len(card.variants)


def test_the_first_variant_is_the_default() -> None:
    card = load_card("omniglot")
    assert card.variant().name == "vinyals"
    assert card.variant("original").classes.model_dump() == {"train": 883, "val": 81, "test": 659}


def test_an_unknown_source_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"unknown source 'omniglt'; .* --from FOLDER`; did you mean 'omniglot'"):
        load_card("omniglt")


def test_an_unknown_variant_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="variant of omniglot 'vinyal'; did you mean 'vinyals'"):
        load_card("omniglot").variant("vinyal")


def test_a_path_is_no_name() -> None:
    with pytest.raises(UsageError, match="unknown source"):
        load_card("../datasets/omniglot")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("channels = 1", "channels = 2"), "channels"),
        (("title =", "tilte ="), "title"),
        (("size = 28", "size = "), "not valid TOML"),
        (("images = 480", ""), r"variants\.0\.images"),
    ],
)
def test_a_broken_card_is_named_with_its_key(small_cards: Path, change: tuple[str, str], complaint: str) -> None:
    path = small_cards / "omniglot" / "card.toml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(DataError, match=complaint) as caught:
        load_card("omniglot")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_error_for_missing_files_says_every_way_to_get_them(small_cards: Path, tmp_path: Path) -> None:
    card: Card = load_card("omniglot")
    message = str(card.not_found("images_background.zip", (tmp_path, Path("there"))))
    for part in (
        f"images_background.zip is not in {tmp_path} or {Path.cwd() / 'there'}",
        card.obtain,
        "into the first, or",
        "--from PATH",
        "--download",
    ):
        assert part in message
    alone = str(card.not_found("images_background.zip", (tmp_path,)))
    assert f"put images_background.zip and images_evaluation.zip into {tmp_path}, or" in alone
    assert "--download" not in str(card.model_copy(update={"download": False}).not_found("x", (Path("here"),)))


def test_omniglots_two_split_lists_hold_the_same_1623_characters() -> None:
    from fsbench.data.sources.omniglot import read_split

    folder = load_card("omniglot").folder
    sets = {}
    for name in ("vinyals", "original"):
        lists = read_split(folder / f"{name}.toml")
        members = [(a, n) for split in SPLITS for a, numbers in lists[split].items() for n in numbers]
        assert len(members) == len(set(members)) == 1623
        sets[name] = set(members)
        assert set(tomllib.loads((folder / f"{name}.toml").read_text())) == set(SPLITS)
    assert sets["vinyals"] == sets["original"]
