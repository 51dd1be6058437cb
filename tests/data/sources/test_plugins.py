"""Sources of other packages, by entry point: the example of the documentation, and broken ones."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fsbench.cli.main import main
from fsbench.data import card
from fsbench.data.card import list_cards, load_card
from fsbench.data.prepare import prepare_own
from fsbench.errors import DataError
from helpers.commands import fsbench

PAGE = Path(__file__).parents[3] / "docs" / "add-a-source.md"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages: that of the page."""
    folder = tmp_path / "site"
    files = dict(re.findall(r"^`([\w/.]+)` .*?^```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    install(folder, tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["fsbench.sources"])
    monkeypatch.syspath_prepend(folder)
    card._warn.cache_clear()
    yield folder
    sys.modules.pop("fsbench_butterflies", None)


def install(folder: Path, sources: dict[str, str]) -> None:
    place = folder / "fsbench_butterflies-1.0.dist-info"
    place.mkdir(exist_ok=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: fsbench-butterflies\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in sources.items()]
    (place / "entry_points.txt").write_text("\n".join(["[fsbench.sources]", *lines]))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for species in ("apollo", "brimstone", "comma", "peacock"):
        for number in (1, 2):
            path = tmp_path / "files" / "photos" / f"{species}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (90, 60), (number, 0, 0)).save(path)
    return tmp_path / "files"


def test_the_source_of_the_page_is_listed_prepared_and_verified(site: Path, photos: Path) -> None:
    assert "butterflies      Butterflies      published (not prepared)" in run("list").output
    done = run("prepare", "butterflies", "--from", photos)
    assert "butterflies: 8 images, classes: 2 train, 1 val, 1 test; " in done.output
    assert "partial" not in done.output
    assert "intact" in run("verify", "butterflies").output


def test_what_its_code_raises_is_one_sentence_about_it(site: Path, photos: Path) -> None:
    module = site / "fsbench_butterflies" / "__init__.py"
    module.write_text(module.read_text() + "\n\ndef prepare(*given):\n    return {}['wings']\n")
    ended = fsbench("data", "prepare", "butterflies", "--from", photos)
    assert ended.exit_code == 2
    place = rf"{module}, line \d+, raises KeyError: 'wings'; tell the authors of fsbench_butterflies, or uninstall it\."
    assert re.search(place, ended.stderr)


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ({"moths": "no_such_package.moths"}, "the source 'moths' .* no_such_package"),
        ({"moths": "fsbench_butterflies"}, "the source 'moths' .* its card says 'butterflies'"),
        (
            {"moths": "json"},
            r"the source 'moths' of an installed package cannot be used from json \(there is no [^()]*card\.toml\)",
        ),
    ],
)
def test_a_broken_one_is_named_in_one_sentence_and_hides_no_other(
    site: Path, sources: dict[str, str], problem: str
) -> None:
    install(site, {**sources, "butterflies": "fsbench_butterflies"})
    names = {card.name for card in list_cards()}
    assert names >= {"butterflies", "omniglot", "glyphs"}
    assert "moths" not in names
    with pytest.raises(DataError, match=f"^{problem}.*; fix or uninstall it"):
        load_card("moths")
    listed = run("list")
    assert listed.exit_code == 0
    card._warn.cache_clear()
    assert len(re.findall(r"the source 'moths'", run("list").output)) == 1


@pytest.mark.parametrize("module", ["raise RuntimeError('no')", "prepare = 3"])
def test_a_module_that_cannot_prepare_is_named(site: Path, photos: Path, module: str) -> None:
    (site / "fsbench_butterflies" / "__init__.py").write_text(module)
    done = run("prepare", "butterflies", "--from", photos)
    assert done.exit_code == 2
    assert "the source 'butterflies' of an installed package cannot be used from fsbench_butterflies" in done.output


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "(there is no {card})"),
        ("name = ", "({card} is not valid TOML (Invalid value (at end of document)))"),
        ('name = "butterflies"', "({card} is not valid (title: Field required))"),
    ],
)
def test_the_name_of_a_broken_package_is_taken(site: Path, tmp_path: Path, content: str | None, problem: str) -> None:
    card_file = site / "fsbench_butterflies" / "card.toml"
    card_file.unlink()
    if content is not None:
        card_file.write_text(content)
    for species in ("apollo", "brimstone", "comma"):
        (tmp_path / "own" / species).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "own" / species / "a.png")
    reason = problem.format(card=card_file)
    sentence = f"the source 'butterflies' of an installed package cannot be used from fsbench_butterflies {reason}; fix"
    for words in (
        ("prepare", "butterflies", "--from", tmp_path / "own"),
        ("prepare", "butterflies"),
        ("verify", "butterflies"),
    ):
        failed = run(*words)
        assert failed.exit_code == 2
        assert failed.stderr.rpartition("Error: ")[2] == f"{sentence} or uninstall it.\n"
    with pytest.raises(DataError, match=r"^the source 'butterflies' of an installed package"):
        prepare_own("butterflies", tmp_path / "own")


def test_a_name_that_fsbench_has_stays_fsbenchs(site: Path) -> None:
    install(site, {"omniglot": "fsbench_butterflies"})
    assert load_card("omniglot").title == "Omniglot"
