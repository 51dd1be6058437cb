"""The files of a table: their columns, their figures, and that they agree with each other."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from factories import make_record
from fsbench.errors import OutputError
from fsbench.report.files import write_reports
from fsbench.report.markdown import to_markdown


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_table_csv_has_one_line_a_record(tmp_path: Path) -> None:
    records = [
        make_record("k-NN", (40, 41), train_sources=["omniglot", "birds"]),
        make_record("ProtoNet", (60, 62), train_seed=0),
        make_record("ProtoNet", (61, 64), train_seed=1),
        make_record("fo-MAML", (70, 71), transductive=True),
    ]
    write_reports(records, tmp_path)
    lines = _lines(tmp_path / "table.csv")
    assert ",".join(lines[0]) == (
        "suite,method,backbone,train_source,test_source,way,shot,queries,episodes,mean,ci95,rank,transductive,"
        "train_seed,episode_set"
    )
    assert [(line["method"], line["train_seed"], line["rank"], line["transductive"]) for line in lines] == [
        ("k-NN", "0", "2.0", "false"),
        ("ProtoNet", "0", "1.0", "false"),
        ("ProtoNet", "1", "1.0", "false"),
        ("fo-MAML (transductive)", "0", "", "true"),
    ]
    assert lines[0] == {
        "suite": "tiny",
        "method": "k-NN",
        "backbone": "Conv4-64",
        "train_source": "omniglot+birds",
        "test_source": "omniglot",
        "way": "5",
        "shot": "1",
        "queries": "15",
        "episodes": "2",
        "mean": "54.0",
        "ci95": "8.470803",
        "rank": "2.0",
        "transductive": "false",
        "train_seed": "0",
        "episode_set": "omniglot-5-1-episode-set",
    }


def test_ranks_csv_has_the_rows_ranked_everywhere(tmp_path: Path) -> None:
    records = [make_record(label, shot=shot) for label in ("a, b", 'say "c"') for shot in (1, 5)]
    write_reports([*records, make_record("gap"), make_record("a, b", transductive=True)], tmp_path)
    assert _lines(tmp_path / "ranks.csv") == [
        {"method": "a, b", "average_rank": "1.75"},
        {"method": 'say "c"', "average_rank": "1.75"},
    ]


def test_it_returns_the_table_that_it_wrote(tmp_path: Path) -> None:
    table = write_reports([make_record()], tmp_path / "new", missing=["fo-MAML: stopped."])
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == to_markdown(table)
    assert table.missing == ("fo-MAML: stopped.",)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["ranks.csv", "table.csv", "table.md"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/out"):
        write_reports([make_record()], tmp_path / "file" / "out")
