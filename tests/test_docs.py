"""What the pages for developers say of the code is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from fsbench.suite_files import load_suite

CHECKOUT = Path(__file__).parents[1]
PAGES = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def test_the_suite_of_own_images_is_one(tmp_path: Path) -> None:
    text = (CHECKOUT / "docs" / "data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(name = \"birds\".*?)```", text, flags=re.DOTALL)
    (tmp_path / "birds.toml").write_text(example, encoding="utf-8")
    suite = load_suite(str(tmp_path / "birds.toml"))
    assert list(suite.methods) == ["knn", "proto"]
    assert suite.sources.test == ["birds"]


def test_the_layers_are_those_that_are_checked() -> None:
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, table = text.partition("| layer |")
    told = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.partition("\n\n")[0].splitlines()[2:]]
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contract, _ = settings["tool"]["importlinter"]["contracts"]
    assert [set(layer) for layer in told] == [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]


def test_the_modules_and_files_that_are_named_exist() -> None:
    """Backticked paths below the package, such as `run/plan` and `fsbench/records.py`."""
    for page in (CHECKOUT / "docs" / "architecture.md", CHECKOUT / "CONTRIBUTING.md"):
        for name in re.findall(
            r"`((?:fsbench|tests|docs|[a-z]+)/[a-z_/]+(?:\.\w+)?)/?`", page.read_text(encoding="utf-8")
        ):
            places = [CHECKOUT / name, CHECKOUT / "fsbench" / name, CHECKOUT / "fsbench" / f"{name}.py"]
            assert any(place.exists() for place in places), f"{page.name} names {name}"
