"""The leaderboard: who is ranked with whom, who is not and why, and that the page says and links all of it."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from fsbench.record_files import RecordStore
from fsbench.records import Record
from fsbench.report.leaderboard import Ranking, rankings, read_folder
from fsbench.report.leaderboard_page import write_leaderboard
from fsbench.stats.ranks import metadataset_ranks
from helpers.commands import fsbench, refused
from helpers.factories import make_record

RIGHT = {"A": (60, 66, 72, 69), "B": (59, 66, 71, 69), "C": (30, 31, 33, 35)}


@pytest.fixture(autouse=True)
def no_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))


def _run(folder: Path, *records: Record) -> Path:
    for record in records:
        RecordStore(folder / "records").write(record)
    return folder


def _of(label: str, **facts: Any) -> Record:
    """A record by content, with figures of its own."""
    return make_record(label, RIGHT[label], **{"engine": 1, **facts})


def _rankings(*folders: Path) -> list[Ranking]:
    return rankings([read_folder(folder) for folder in folders])


def _shown(ranking: Ranking) -> list[tuple[str, float | None, str | None]]:
    return [(entrant.records[0].label, entrant.rank, entrant.apart) for entrant in ranking.entrants]


def _labels(found: Sequence[Ranking]) -> list[list[str]]:
    return [[entrant.records[0].label for entrant in ranking.entrants] for ranking in found]


def test_rows_of_different_folders_and_suites_are_ranked_on_the_same_episodes(tmp_path: Path) -> None:
    one = _run(tmp_path / "one", _of("C"), _of("A"))
    other = _run(tmp_path / "other", _of("B", suite="longer"))
    (ranking,) = _rankings(one, other)
    means = {e.records[0].label: e.accuracy.mean for e in ranking.entrants}
    widths = {e.records[0].label: e.accuracy.half_width for e in ranking.entrants}
    assert {label: rank for label, rank, _ in _shown(ranking)} == metadataset_ranks(means, widths)
    assert list(means) == ["A", "B", "C"]
    assert [entrant.best for entrant in ranking.entrants] == [True, True, False]
    assert [entrant.folder.path.name for entrant in ranking.entrants] == ["one", "other", "one"]


@pytest.mark.parametrize(
    "other",
    [
        {"episode_set": "others"},
        {"shot": 5},
        {"source": "dtd"},
        {"partial": "half of them"},
        {"engine": None},
    ],
)
def test_rows_of_other_episodes_are_never_ranked_together(tmp_path: Path, other: dict[str, Any]) -> None:
    found = _rankings(_run(tmp_path / "one", _of("A")), _run(tmp_path / "other", _of("B", **other)))
    assert [[rank for _, rank, _ in _shown(ranking)] for ranking in found] == [[1.0], [1.0]]


def test_indices_of_another_pack_are_other_episodes(tmp_path: Path) -> None:
    """Records of schema 1 name their episodes by indices alone."""
    one = _run(tmp_path / "one", _of("A", engine=None))
    other = _run(tmp_path / "other", _of("B", engine=None, pack="another"))
    assert _labels(_rankings(one, other)) == [["A"], ["B"]]


def test_every_track_has_a_ranking_of_its_own(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", _of("A"), *(_of(x).model_copy(update={"track": x}) for x in "BC"))
    found = _rankings(run)
    assert [(ranking.track, *_shown(ranking)) for ranking in found] == [(x, (x, 1.0, None)) for x in "ABC"]


def test_what_is_not_ranked_stands_last_with_the_reason(tmp_path: Path) -> None:
    one = _run(tmp_path / "one", _of("C"))
    copy = _run(tmp_path / "copy", _of("C"))
    pixels = _run(tmp_path / "pixels", _of("B", pack="decoded otherwise"))
    larger = _run(
        tmp_path / "larger", _of("B", pack="84 px", images={"size": 84, "channels": 1, "mean": [0.5], "std": [0.5]})
    )
    peeks = _run(tmp_path / "peeks", _of("A", transductive=True))
    wrong = _run(tmp_path / "wrong", _of("A", suite="wrong"))
    path = next((wrong / "records").iterdir())
    path.rename(path.with_name("renamed.json"))
    (ranking,) = _rankings(one, copy, pixels, larger, peeks, wrong)
    assert [(e.folder.path.name, e.rank, e.apart) for e in ranking.entrants] == [
        ("larger", 1.0, None),  # images of another size show the same episodes
        ("one", 2.0, None),
        ("peeks", None, "transductive"),
        ("wrong", None, "does not verify"),
        ("pixels", None, "other pixels (pack decoded othe)"),
        ("copy", None, "repeats records of one"),
    ]


def test_a_shortened_training_has_no_rank(tmp_path: Path) -> None:
    (ranking,) = _rankings(_run(tmp_path / "run", _of("A"), _of("B", fraction=0.5)))
    assert _shown(ranking) == [("A", 1.0, None), ("B", None, "not the whole training")]


def test_training_seeds_are_one_row_and_what_differs_otherwise_is_two(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", _of("A", train_seed=0), make_record("A", RIGHT["B"], engine=1, train_seed=1))
    (ranking,) = _rankings(run)
    (entrant,) = ranking.entrants
    assert [record.identity.train_seed for record in entrant.records] == [0, 1]
    _run(run, _of("A", train_seed=0, training="a longer one"), _of("A", params={"rate": 1}))
    (ranking,) = _rankings(run)
    assert [len(entrant.records) for entrant in ranking.entrants] == [1, 1, 1, 1]


def test_seeds_of_two_recipes_are_two_rows(tmp_path: Path) -> None:
    other = _of("A", train_seed=1).model_copy(update={"recipe": "a longer one"})
    (ranking,) = _rankings(_run(tmp_path / "run", _of("A"), other))
    assert [len(entrant.records) for entrant in ranking.entrants] == [1, 1]


def test_the_rankings_of_most_episodes_come_first(tmp_path: Path) -> None:
    few = make_record("C", RIGHT["C"][:2], engine=1, episode_set="a few")
    runs = [_run(tmp_path / "few", few), _run(tmp_path / "many", _of("A"), _of("B", shot=None), _of("B", way=10))]
    found = [(ranking.column.setting, ranking.column.episodes) for ranking in _rankings(*runs)]
    assert found == [("5-way 1-shot", 4), ("5-way 1-shot", 2), ("10-way 1-shot", 4), ("variable way and shot", 4)]


def test_only_transductive_rows_have_no_ranks(tmp_path: Path) -> None:
    (ranking,) = _rankings(_run(tmp_path / "run", _of("A", transductive=True)))
    assert [entrant.rank for entrant in ranking.entrants] == [None]


def test_the_page_says_and_links_everything(tmp_path: Path) -> None:
    one = _run(tmp_path / "shared" / "a <b> & c", _of("A"), _of("B", fraction=0.5), _of("C", transductive=True))
    other = _run(tmp_path / "shared" / "other", _of("C", shot=5, train_seed=1))
    (one / "contribution.toml").write_text(
        'by = "<i>Lab</i>"\ndate = 2026-11-21\nlink = "https://example.org/?a=1&b=2"\n'
    )
    (other / "records" / "broken.json").write_text("{}")
    page = write_leaderboard([one, other], tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert write_leaderboard([one, other], tmp_path / "page").read_text(encoding="utf-8") == text
    shown = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
    for said in (
        "5-way 1-shot 4 test episodes 15 queries a class episodes omniglot-5-1",
        "<i>Lab</i> 2026-11-21",
        "0123456789ab",
        "B not the whole training; reduced training (50 % of the suite's length)",
        "C (transductive) transductive",
        f"the record {other / 'records' / 'broken.json'} is damaged (KeyError); get it again, or delete it and run "
        "again.",
        f"{make_record('A', RIGHT['A']).mean:.2f} ± {make_record('A', RIGHT['A']).ci95:.2f}",
    ):
        assert said in shown
    assert "<i>Lab" not in text
    links = set(re.findall(r'href="([^"#][^"]*)"', text))
    assert html.unescape(min(links, key=lambda link: ":" not in link)) == "https://example.org/?a=1&b=2"
    folders = [page.parent / unquote(html.unescape(link)) for link in links if "://" not in link]
    assert sorted(folder.resolve() for folder in folders) == sorted([one, other])
    assert text.count('class="apart"') == 1  # one rule, in the ranking with the transductive row
    assert not re.search(r"<(img|link|script)[^>]+(src|href)=", text)


def test_a_copy_with_another_name_leaves_its_row_where_it_is(tmp_path: Path) -> None:
    records = [_of("A", train_seed=0), make_record("A", RIGHT["B"], engine=1, train_seed=1)]
    run = _run(tmp_path / "run", *records)
    alone = _shown(_rankings(run)[0])
    path = RecordStore(run / "records").path(records[0].identity)
    shutil.copy(path, path.with_name(f"copy of {path.name}"))
    (ranking,) = _rankings(run)
    assert _shown(ranking) == [*alone, ("A", None, "does not verify")]
    assert [(len(entrant.records), entrant.verified) for entrant in ranking.entrants] == [(2, "counts"), (1, "no")]


def test_it_is_a_command_that_ranks_what_there_is_and_says_where_nothing_is(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", _of("A"))
    (tmp_path / "empty").mkdir()
    page = tmp_path / "page" / "index.html"
    result = fsbench("leaderboard", run, tmp_path / "empty", "--out", tmp_path / "page")
    assert (result.exit_code, result.stderr) == (0, f"The page: {page}\n")
    text = page.read_text(encoding="utf-8")
    assert f"there are no records in {tmp_path / 'empty' / 'records'}; name the out folder of a run." in text
    assert text.count("5-way 1-shot") > 0


def test_nothing_to_rank_is_refused(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "other"
    for folder in folders:
        folder.mkdir()
    said = refused("leaderboard", *folders, "--out", tmp_path / "page")
    assert said == f"there are no records to rank in {folders[0]}, {folders[1]}; `fsbench verify` says why."
    assert not (tmp_path / "page").exists()


def test_a_statement_that_is_none_names_nobody(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", _of("A"))
    (run / "contribution.toml").write_text(json.dumps({"by": "x"}))
    folder = read_folder(run)
    assert folder.contribution is None
    assert [file.path.name for file in folder.checked if file.problem] == ["contribution.toml"]
