"""`fsbench export`: the files that it writes, and whom it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsbench.records import RecordStore
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
