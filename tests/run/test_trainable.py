"""What the sources of a run cannot give its trainings is said before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import fsbench, refused
from helpers.small import write_small_pack
from helpers.tiny import SIZE, SOURCE, write_source, write_suite


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classifier, and a ProtoNet that starts from it, on two sources; the second has four training classes."""
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_source(tmp_path / "cache")
    write_small_pack(tmp_path / "cache/packs" / f"few-{SIZE}px", source="few", size=SIZE, classes=(4, 4, 5))
    path = write_suite(tmp_path / "suite.toml", rows=("knn", "proto"))
    path.write_text(path.read_text().replace(f'train = "{SOURCE}"', f'train = ["{SOURCE}", "few"]'))
    return path


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("", "", "methods.proto cannot train on few: a 5-way episode needs 5 classes, but the train split has 4;"),
        (
            "tasks = 2",
            "tasks = 2\npool = 5",
            "methods.proto cannot train on few: a 5-way episode needs 5 classes, but the train split has 4;",
        ),
        (
            f'train = ["{SOURCE}", "few"]',
            f'train = ["{SOURCE}", "few"]\nvalidation = "few"',
            "methods.knn cannot validate on few: a 5-way episode needs 5 classes, but the val split has 4;",
        ),
        (
            "queries = 5\ntasks = 2",
            "queries = 16\ntasks = 2",
            f"methods.proto cannot train on {SOURCE}: an episode needs 21 images a class, but the train split of",
        ),
    ],
)
def test_a_source_that_is_too_small_is_named_before_anything_is_trained(
    suite: Path, tmp_path: Path, before: str, after: str, sentence: str
) -> None:
    suite.write_text(suite.read_text().replace(before, after, 1))
    words = ("--suite", suite, "--shots", "5")
    assert sentence in refused("run", *words, "--out", tmp_path / "out", "--device", "cpu")
    assert sentence in refused("plan", *words)
    assert not [each for each in (tmp_path / "out").rglob("*") if each.is_file()]


def test_batches_are_drawn_from_any_source(suite: Path) -> None:
    result = fsbench("plan", "--suite", suite, "--methods", "knn")
    assert result.exit_code == 0, result.output
