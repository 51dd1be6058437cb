"""Every method and source of the shipped suites has a paper to cite, and `fsbench cite` prints them."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

import fsbench
from fsbench.cli.main import main
from fsbench.data.card import list_cards
from fsbench.methods.registry import METHODS
from fsbench.published.citations import load_papers

ROOT = Path(__file__).parents[2]


def cite(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cite", *words])
    return result.exit_code, result.output


def test_the_papers_are_well_formed() -> None:
    text = (ROOT / "fsbench/published/papers.bib").read_text(encoding="utf-8")
    papers = load_papers()
    assert len(papers) == text.count("\n@") + 1
    assert len({paper.key for paper in papers}) == len(papers)
    for paper in papers:
        assert paper.entry.count("{") == paper.entry.count("}")
        assert re.search(r"\n  year = \{\d{4}\},\n", paper.entry)
        assert {"author", "title"} <= set(re.findall(r"^  (\w+) = ", paper.entry, flags=re.M))


def test_every_method_and_source_has_one() -> None:
    names = frozenset[str]().union(*(paper.names for paper in load_papers()))
    sources = {card.name for card in list_cards() if card.files}
    assert {info.name for info in METHODS} | sources <= names


def test_a_table_is_cited_with_what_it_holds() -> None:
    code, text = cite(str(ROOT / "results" / "omniglot"))
    assert code == 0
    keys = set(re.findall(r"^@\w+\{(\w+),$", text, flags=re.M))
    assert keys >= {"fsbench", "lake2015human", "snell2017prototypical", "finn2017model"}
    assert "nilsback2008automated" not in keys
    assert f"version = {{{fsbench.__version__}}}" in text


def test_a_suite_is_cited_whole_and_what_has_no_paper_is_said() -> None:
    code, text = cite("--suite", "glyphs")
    assert code == 0
    assert "snell2017prototypical" in text
    assert "No paper is known here of: glyphs." in text


def test_one_of_both_is_asked_for() -> None:
    for words in ((), (str(ROOT / "results" / "omniglot"), "--suite", "omniglot")):
        code, text = cite(*words)
        assert code == 2
        assert "give either a FOLDER with records, or --suite NAME." in text


def test_the_citation_file_says_this_version() -> None:
    assert f"\nversion: {fsbench.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
