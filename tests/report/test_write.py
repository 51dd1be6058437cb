"""The files of a table: their columns, their figures, and that they agree with each other."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsbench.errors import OutputError
from fsbench.provenance import SuiteOrder, SuiteRow, write_suite_order
from fsbench.record_files import RecordStore
from fsbench.records import Record
from fsbench.report.markdown import to_markdown
from fsbench.report.ranking import rank_file
from fsbench.report.reading import records_of
from fsbench.report.write import write_reports
from helpers.factories import make_record


def _grid(sources: Sequence[str], shots: Sequence[int | None], add: int = 0) -> list[Record]:
    """Three methods, of which one is transductive, on every source and shot."""
    return [
        make_record(label, [low + add + 3 * s + k for k in (0, 2, 1, 4)], source=source, shot=shot, transductive=how)
        for label, low, how in (("k-NN", 5, False), ("ProtoNet", 11, False), ("fo-MAML", 18, True))
        for s, source in enumerate(sources)
        for shot in shots
    ]


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


def test_ranks_csv_says_whose_ranks_may_be_compared(tmp_path: Path) -> None:
    elsewhere = [make_record(label, source=source) for label in ("Ridge", "Cosine") for source in ("a", "b")]
    seen = [record.model_copy(update={"track": "C" if record.identity.source == "a" else "B"}) for record in elsewhere]
    own = [make_record(label, source=source) for label in ("k-NN", "ProtoNet") for source in ("a", "b")]
    write_reports([*own, *seen], tmp_path)
    found = {line["method"]: line["track"] for line in _lines(tmp_path / "ranks.csv")}
    assert found == {"k-NN": "A", "ProtoNet": "A", "Ridge": "B, C", "Cosine": "B, C"}


def test_way_shot_and_queries_that_vary_are_empty(tmp_path: Path) -> None:
    write_reports([make_record("k-NN", (40, 41), shot=None), make_record("ProtoNet", (60, 61), shot=None)], tmp_path)
    lines = _lines(tmp_path / "table.csv")
    assert [(line["way"], line["shot"], line["queries"], line["episodes"]) for line in lines] == [("", "", "", "2")] * 2
    assert rank_file(tmp_path / "table.csv").ranks == {"omniglot": {"k-NN": 2, "ProtoNet": 1}}


def test_the_ranks_of_several_sources_are_those_that_rank_makes_of_table_csv(tmp_path: Path) -> None:
    write_reports(_grid(("omniglot", "birds", "dtd"), (1, 5)), tmp_path)
    averages = {line["method"]: float(line["average_rank"]) for line in _lines(tmp_path / "ranks.csv")}
    assert rank_file(tmp_path / "table.csv").average == pytest.approx(averages, abs=1e-6)


@given(
    st.lists(st.sampled_from(["omniglot", "birds", "traffic_sign"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([1, 5, None]), min_size=1, max_size=3, unique=True),
    st.integers(0, 40),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_every_figure_of_table_csv_stands_in_table_md(
    tmp_path: Path, sources: list[str], shots: list[int | None], add: int, cell_ranks: bool
) -> None:
    write_reports(_grid(sources, shots, add), tmp_path, cell_ranks=cell_ranks)
    cells = [cell.strip(" *") for cell in (tmp_path / "table.md").read_text(encoding="utf-8").split("|")]
    figures = Counter(re.match(r"[^(*]*", cell)[0].strip() for cell in cells)
    lines = _lines(tmp_path / "table.csv")
    assert len(lines) == 3 * len(sources) * len(shots)
    expected = Counter(f"{float(line['mean']):.2f} ± {float(line['ci95']):.2f}" for line in lines)
    assert {figure: times for figure, times in figures.items() if "±" in figure} == expected


def _written(folder: Path) -> list[tuple[str, str]]:
    """Rows and sources of records that lie in a folder, written in another order than any that is asked for."""
    store = RecordStore(folder / "records")
    for source in ("birds", "a-third", "omniglot"):
        for row in ("proto", "another", "knn"):
            store.write(make_record(row, source=source))
    return [(record.identity.row, record.identity.source) for record in records_of(folder)]


def test_rows_and_sources_come_as_in_the_suite_of_the_run_and_others_by_name(tmp_path: Path) -> None:
    rows = tuple(SuiteRow(row=row) for row in ("proto", "gone", "knn"))
    order = SuiteOrder(name="tiny", title="", rows=rows, sources=("omniglot", "birds"), shots=(1,), suite={})
    write_suite_order(tmp_path, order)
    assert _written(tmp_path) == [
        (row, source) for row in ("proto", "knn", "another") for source in ("omniglot", "birds", "a-third")
    ]


def test_without_the_suite_of_the_run_rows_and_sources_come_by_name(tmp_path: Path) -> None:
    assert _written(tmp_path) == [
        (row, source) for row in ("another", "knn", "proto") for source in ("a-third", "birds", "omniglot")
    ]


def test_it_returns_the_table_that_it_wrote(tmp_path: Path) -> None:
    table = write_reports([make_record()], tmp_path / "new")
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == to_markdown(table)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["ranks.csv", "table.csv", "table.md"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/out"):
        write_reports([make_record()], tmp_path / "file" / "out")
