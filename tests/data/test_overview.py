"""The page about the sources."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from fsbench.cli.main import main
from fsbench.data.card import list_cards

README = Path(__file__).parents[2] / "datasets" / "README.md"


def test_the_page_in_the_data_folder_is_what_the_cards_say() -> None:
    made = CliRunner().invoke(main, ["data", "list", "--markdown"]).stdout
    assert README.read_text(encoding="utf-8") == made, "run `fsbench data list --markdown > datasets/README.md`"


def test_it_says_of_every_source_what_to_put_where_and_under_which_terms() -> None:
    page = README.read_text(encoding="utf-8")
    for card in list_cards():
        section = page.partition(f"(`{card.name}`)")[2].partition("\n## ")[0]
        for said in (card.licence, card.obtain, card.homepage, *(f"{variant.images:,}" for variant in card.variants)):
            assert said in section
        assert all(f"`{card.name}/{file}`" in section for file in card.files)
