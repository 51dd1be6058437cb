"""Tables and comparisons as JSON: the exact text, all that a table holds, and agreement with the other formats."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsbench.compare import compare
from fsbench.report.arrange import build_table
from fsbench.report.footnote import footnote
from fsbench.report.json import comparison_to_json, to_json
from fsbench.report.latex import to_latex
from fsbench.report.table import Table
from fsbench.report.write import write_reports
from helpers.compared import write_all_verdicts
from helpers.factories import make_record

FOLDER = Path(__file__).parent


def _small() -> Table:
    """Two sources of which one lacks images, a source left out, two seeds, a gap and a transductive row."""
    absent = {"fungi": "there are no images of it."}
    return build_table(
        [
            make_record("ProtoNet", (60, 66, 63, 69), fraction=0.1, absent=absent),
            make_record("ProtoNet", (62, 66, 61, 70), fraction=0.1, train_seed=1),
            make_record("ProtoNet", (50, 52, 49, 51), fraction=0.1, source="birds", partial="partial (20 per class)"),
            make_record("fo-MAML", (65, 70, 66, 72), transductive=True),
        ],
    )


def test_the_whole_text_of_a_table() -> None:
    content = json.loads(to_json(_small()))
    assert content.pop("notes") == [{"term": note.term, "text": note.text} for note in footnote(_small())]
    assert content == json.loads((FOLDER / "table.json").read_text(encoding="utf-8"))


def test_the_whole_text_of_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = comparison_to_json(compare(*write_all_verdicts(Path())))
    assert text == (FOLDER / "comparison.json").read_text(encoding="utf-8")


def test_a_cell_names_its_records_and_episodes() -> None:
    table = _small()
    for line, written in zip(table.lines, json.loads(to_json(table))["rows"], strict=True):
        for column, figure, found in zip(table.columns, line.figures, written["cells"], strict=True):
            if figure is None:
                assert found is None
            else:
                assert found["records"] == [record.cell for record in figure.records]
                assert found["episode_set"] == column.episode_set


def test_timings_do_not_enter() -> None:
    records = [make_record(), make_record(shot=5)]
    slower = [record.model_copy(update={"timings": {"evaluation": 99.0}}) for record in records]
    assert to_json(build_table(records)) == to_json(build_table(slower))


@pytest.mark.parametrize("name", ["_ & % # $ ~ ^ { } \\ |", "<script>alert(1)</script>", 'a "b"', "é 字"])
def test_names_are_read_back_as_they_were(name: str) -> None:
    record = make_record(name, row="row", method="method", source=name, suite=name)
    content = json.loads(to_json(build_table([record.model_copy(update={"backbone_label": name})])))
    row, column = content["rows"][0], content["columns"][0]
    assert (content["suite"], row["name"], row["backbone"], column["source"]) == (name,) * 4


def _figures(pairs: Iterable[tuple[Any, Any]]) -> Counter[tuple[str, str]]:
    return Counter((f"{float(mean):.2f}", f"{float(half_width):.2f}") for mean, half_width in pairs)


@given(
    st.lists(st.sampled_from(["omniglot", "birds", "traffic_sign"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([1, 5, None]), min_size=1, max_size=3, unique=True),
    st.lists(st.lists(st.integers(0, 66), min_size=3, max_size=3), min_size=3, max_size=3),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_every_format_carries_the_same_figures(
    tmp_path: Path, sources: list[str], shots: list[int | None], correct: list[list[int]], cell_ranks: bool
) -> None:
    records = [
        make_record(label, [right + 3 * place for right in found], source=source, shot=shot, transductive=how)
        for (label, how), found in zip((("k-NN", False), ("ProtoNet", False), ("fo-MAML", True)), correct, strict=True)
        for place, source in enumerate(sources)
        for shot in shots
    ]
    table = write_reports(records, tmp_path, cell_ranks=cell_ranks)
    content = json.loads(to_json(table))
    expected = _figures((cell["mean"], cell["ci95"]) for row in content["rows"] for cell in row["cells"])
    assert expected.total() == len(records)

    with (tmp_path / "table.csv").open(newline="") as file:
        assert _figures((line["mean"], line["ci95"]) for line in csv.DictReader(file)) == expected
    markdown, latex = (tmp_path / "table.md").read_text(encoding="utf-8"), to_latex(table)
    assert _figures(re.findall(r"([\d.]+) ± ([\d.]+)", markdown)) == expected
    assert _figures(re.findall(r"([\d.]+) \\pm (?:\\phantom\{0+\})?([\d.]+)", latex)) == expected

    bold = Counter(cell["mean"] for row in content["rows"] for cell in row["cells"] if cell["best"])
    assert len(re.findall(r"\*\*[\d.]+ ± [\d.]+\*\*", markdown)) == latex.count(r"\mathbf{") == bold.total()
    averages = [row["average_rank"] for row in content["rows"] if row["average_rank"] is not None]
    for text, separator in ((markdown, "|"), (latex, "&")):
        cells = [cell.strip(" \\") for line in text.splitlines() for cell in line.split(separator)]
        assert all(f"{average:.2f}" in cells for average in averages)
