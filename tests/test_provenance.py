"""The suite beside the records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsbench.errors import RecordError
from fsbench.provenance import SUITE_FILE, SuiteOrder, SuiteRow, read_suite_order, write_suite_order

ORDER = SuiteOrder(
    name="tiny",
    title="Two rows",
    rows=(SuiteRow(row="proto", label="Prötö"), SuiteRow(row="knn")),
    sources=("b", "a"),
    shots=(5, 1),
    suite={"name": "tiny", "methods": {"proto": {"params": {"scale": 1.5}}, "knn": {}}},
)


def test_what_is_written_is_read_in_its_order(tmp_path: Path) -> None:
    write_suite_order(tmp_path, ORDER)
    assert read_suite_order(tmp_path) == ORDER


def test_a_folder_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    assert read_suite_order(tmp_path) is None


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", "7", '{"schema_version": "1"}', "\x00", "[" * 100_000])
def test_anything_else_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / SUITE_FILE).write_text(content)
    with pytest.raises(RecordError, match=r"is damaged \(.*\); run again in this folder"):
        read_suite_order(tmp_path)


def test_a_newer_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / SUITE_FILE).write_text(json.dumps(ORDER.model_dump() | {"schema_version": 2, "novelty": 1}))
    with pytest.raises(RecordError, match=r"has schema 2, newer than 1; update fsbench\."):
        read_suite_order(tmp_path)
