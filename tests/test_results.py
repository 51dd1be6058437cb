"""The committed results are what the committed records say, and the README shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsbench.records import Record, read_record
from fsbench.report.files import write_reports
from fsbench.suite import load_suite

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/table.md"))


def in_the_order_of_the_suite(records: list[Record]) -> list[Record]:
    rows = list(load_suite(records[0].identity.suite).methods)
    return sorted(records, key=lambda record: (rows.index(record.identity.row), record.identity.shot))


def test_there_are_results() -> None:
    assert {"glyphs", "omniglot"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_follow_from_the_records(folder: Path, tmp_path: Path) -> None:
    records = [read_record(path) for path in (folder / "records").glob("*.json")]
    write_reports(in_the_order_of_the_suite(records), tmp_path)
    for name in ("table.md", "table.csv", "ranks.csv"):
        assert (folder / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_row_of_the_suite_is_there(folder: Path) -> None:
    records = [read_record(path) for path in (folder / "records").glob("*.json")]
    suite = load_suite(records[0].identity.suite)
    assert {(record.identity.row, record.identity.shot) for record in records} == {
        (row, shot) for row in suite.methods for shot in suite.episodes.shots
    }


def test_the_readme_shows_the_omniglot_table() -> None:
    table = (ROOT / "results/omniglot/table.md").read_text(encoding="utf-8")
    shown = [line for line in table.splitlines() if line.startswith(("|", "**reduced"))]
    first = shown[: next(i for i, line in enumerate(shown) if "trained on" in line)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(first) > 8
    assert [line for line in first if line not in readme] == []
