"""The protocol k-shot from the command line to record and table, with rows on a frozen backbone and on its features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsbench.cli.main import main
from fsbench.records import Record
from fsbench.report.reading import records_of
from helpers.frozen import RIDGE, write_backbone
from helpers.tiny import SOURCE, write_source, write_suite


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache", images=20)
    write_backbone(tmp_path)
    path = write_suite(tmp_path / "suite.toml", rows=("knn",))
    path.write_text(path.read_text() + RIDGE)
    return path


def fsbench(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(map(str, words)))
    return result.exit_code, " ".join(result.output.split())


def run(suite: Path, out: Path, *words: object) -> list[Record]:
    code, output = fsbench(
        *("run", "--suite", suite, "--methods", "ridge", "--protocol", "k-shot", "--out", out), *words
    )
    assert code == 0, output
    return sorted(records_of(out), key=lambda record: record.identity.shot or 0)


def test_all_shots_are_measured_on_the_same_test_set(suite: Path, tmp_path: Path) -> None:
    found = run(suite, tmp_path / "out")
    assert [record.identity.shot for record in found] == [1, 2, 4, 8, 16]
    for record in found:
        identity = record.identity
        assert (identity.way, identity.queries, identity.sampler, identity.episodes) == (None, None, "k-shot-1", 10)
        assert list(record.total) == [8 * 4] * 10  # 8 classes, of each of which 16 images of 20 may be shown
    assert len({record.identity.episode_set for record in found}) == 5
    assert found[-1].mean > found[0].mean
    assert {path.name.rpartition("-seed")[0] for path in (tmp_path / "out" / "records").iterdir()} == {
        f"ridge-{SOURCE}-allway-{shot}shot" for shot in (1, 2, 4, 8, 16)
    }
    table = (tmp_path / "out" / "table.md").read_text()
    assert "all-way 1-shot" in table and "all-way 16-shot" in table
    assert "**All-way**: an episode has all classes of the split" in table
    assert "Variable way and shot" not in table
    assert "all-way 4-shot, 10 episodes" in table


def test_features_in_a_file_answer_the_same(suite: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    assert fsbench("embed", SOURCE, "--suite", suite, "--backbone", "own", "--precision", "fp32", "--out", file)[0] == 0
    words = ("--shots", "2", "--episodes", "3")
    (live,) = run(suite, tmp_path / "live", *words)
    (of_file,) = run(suite, tmp_path / "file", *words, "--features", file)
    assert list(live.correct) == list(of_file.correct)
    assert live.identity.episode_set == of_file.identity.episode_set


def test_exported_episodes_are_those_of_a_run(suite: Path, tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    code, output = fsbench("episodes", "export", suite, "--protocol", "k-shot", "--shot", "2", "--out", file)
    assert code == 0 and "10 episodes of tiny, all-way 2-shot, the whole test set" in output
    (drawn,) = run(suite, tmp_path / "drawn", "--shots", "2")
    (read,) = run(suite, tmp_path / "read", "--episodes-file", file)
    assert (read.cell, list(read.correct)) == (drawn.cell, list(drawn.correct))
    assert json.loads(file.read_text())["sampler"] == "k-shot-1"
    code, output = fsbench("run", "--suite", suite, "--methods", "ridge", "--episodes-file", file)
    assert code == 2 and "holds episodes of the protocol k-shot; use --protocol k-shot" in output


def test_more_shots_than_there_are_is_one_sentence(suite: Path, tmp_path: Path) -> None:
    words = ("run", "--suite", suite, "--methods", "ridge", "--out", tmp_path / "out", "--protocol", "k-shot")
    code, output = fsbench(*words, "--shots", "17")
    assert code == 2 and "shows at most 16 images a class, not 17; lower the shot" in output
    write_source(tmp_path / "cache", images=16)
    code, output = fsbench(*words)
    assert code == 2 and "an episode needs 17 images a class" in output


def test_a_plan_of_it_can_be_timed(suite: Path) -> None:
    code, output = fsbench(
        *("plan", "--suite", suite, "--methods", "ridge", "--protocol", "k-shot", "--shots", "1", "--cost")
    )
    assert code == 0, output
