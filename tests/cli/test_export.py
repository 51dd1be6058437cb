"""`fsbench export`: the files that it writes, and whom it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsbench.record_files import RecordStore
from helpers.commands import fsbench, refused
from helpers.factories import make_record


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for label in ("k-NN", "ProtoNet"):
        RecordStore(tmp_path / "run" / "records").write(make_record(label))
    return tmp_path / "run"


def _export(run: Path, *words: object) -> list[Path]:
    result = fsbench("export", run, "--out", run.parent / "out", *words)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"2 files below {run.parent / 'out'}\n"
    return [path for path in sorted((run.parent / "out").rglob("*")) if path.is_file()]


def test_every_row_has_a_model_card(run: Path) -> None:
    files = _export(run, "--format", "model-index")
    assert [str(path.relative_to(run.parent / "out")) for path in files] == [
        "tiny/k-nn/README.md",
        "tiny/protonet/README.md",
    ]


@pytest.mark.parametrize(("words", "by"), [((), "A lab"), (("--by", "Someone"), "Someone")])
def test_who_measured_it_is_said_or_stands_beside_the_records(run: Path, words: tuple[str, ...], by: str) -> None:
    (run / "contribution.toml").write_text('by = "A lab"\ndate = 2026-11-21\n')
    files = _export(run, "--format", "every-eval-ever", *words)
    assert len(files) == 2
    for path in files:
        assert json.loads(path.read_text())["source_metadata"]["source_organization_name"] == by


def test_nobody_is_made_up(run: Path) -> None:
    said = refused("export", run, "--format", "every-eval-ever", "--out", run / "out")
    assert said == f"{run} does not say who measured this; use --by NAME."
    assert not (run / "out").exists()


def _content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_cards_of_other_records_are_not_replaced(run: Path, tmp_path: Path) -> None:
    _export(run, "--format", "model-index")
    before = _content(tmp_path / "out")
    for label in ("k-NN", "Another"):
        RecordStore(tmp_path / "k-shot" / "records").write(make_record(label, way=None))
    said = refused("export", tmp_path / "k-shot", "--format", "model-index", "--out", tmp_path / "out")
    card = tmp_path / "out" / "tiny" / "k-nn" / "README.md"
    assert said == f"{card} is no earlier card of these records; name another folder with --out, or move it away."
    assert _content(tmp_path / "out") == before


@pytest.mark.parametrize("content", [b"# A page by hand\n", b"\xff"])
def test_a_file_that_is_no_card_is_not_replaced(run: Path, content: bytes) -> None:
    path = run.parent / "out" / "tiny" / "k-nn" / "README.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    said = refused("export", run, "--format", "model-index", "--out", run.parent / "out")
    assert said == f"{path} is no earlier card of these records; name another folder with --out, or move it away."
    assert path.read_bytes() == content


def test_a_folder_that_has_grown_replaces_its_cards(run: Path) -> None:
    _export(run, "--format", "model-index")
    RecordStore(run / "records").write(make_record("k-NN", train_seed=1))
    files = _export(run, "--format", "model-index")
    assert [path.read_text().count("  cell: ") for path in files] == [2, 1]


def test_exports_of_several_folders_into_one_keep_all_logs(run: Path, tmp_path: Path) -> None:
    _export(run, "--format", "every-eval-ever", "--by", "Us")
    before = _content(tmp_path / "out")
    RecordStore(tmp_path / "k-shot" / "records").write(make_record("k-NN", way=None))
    fsbench("export", tmp_path / "k-shot", "--format", "every-eval-ever", "--by", "Us", "--out", tmp_path / "out")
    after = _content(tmp_path / "out")
    assert len(after) == 3
    assert before.items() <= after.items()


@pytest.mark.parametrize("by", ["", " "])
def test_an_empty_name_is_none(run: Path, by: str) -> None:
    words = ("--format", "every-eval-ever", "--by", by)
    said = refused("export", run, "--out", run / "out", *words)
    assert said == f"{run} does not say who measured this; use --by NAME."
    (run / "contribution.toml").write_text('by = "A lab"\ndate = 2026-11-21\n')
    for path in _export(run, *words):
        assert json.loads(path.read_text())["source_metadata"]["source_organization_name"] == "A lab"


@pytest.mark.parametrize(
    "words", [("table",), ("report",), ("cite",), ("export", "--format", "model-index", "--out", "out")]
)
def test_a_run_without_a_finished_record_has_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "suite.json").write_text("{}")
    said = refused(*words, tmp_path)
    assert said == f"there are no records in {tmp_path}; run a suite with --out {tmp_path} first."
