"""A method that answers a few ways only is never asked more, whatever the protocol, nor trained for it in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsbench.methods.registry import load_method
from helpers.commands import fsbench, refused
from helpers.tiny import write_source, write_suite


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ProtoNet, and Finetune on the classifier of k-NN; the source has 12 training, 6 validation and 8 test classes."""
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_source(tmp_path / "cache", images=20)
    return write_suite(tmp_path / "suite.toml", rows=("knn", "finetune", "proto"), variable=True)


@pytest.mark.parametrize(
    ("method", "most", "words", "sentence"),
    [
        ("proto", 4, (), "methods.proto is trained or tested on 5 ways, but ProtoNet answers 4 at most; leave the row"),
        ("proto", 11, ("--protocol", "variable"), "methods.proto is trained or tested on 12 ways, but ProtoNet"),
        ("proto", 7, ("--protocol", "k-shot", "--shots", "1"), "methods.proto is trained or tested on 8 ways, but"),
        ("finetune", 7, ("--protocol", "variable"), "methods.finetune is trained or tested on 8 ways, but Finetune"),
        ("knn", 5, ("--protocol", "variable"), "methods.knn is trained or tested on 6 ways, but k-NN answers 5"),
    ],
    ids=["the suite's way", "variable training", "all test classes", "a head on another's training", "validation"],
)
def test_more_ways_than_a_method_answers_are_refused_before_anything_is_trained(
    suite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    most: int,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.setattr(load_method(method), "most_ways", most)
    row = "finetune" if method == "knn" else method  # whose training is validated as k-NN
    command = ("--suite", suite, "--methods", row, *words)
    assert sentence in refused("run", *command, "--out", tmp_path / "out", "--device", "cpu")
    assert sentence in refused("plan", *command)
    assert not [each for each in (tmp_path / "out").rglob("*") if each.is_file()]


def test_the_way_of_a_training_counts_too(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write_text(suite.read_text().replace('"episodes"\nway = 5', '"episodes"\nway = 6'))
    monkeypatch.setattr(load_method("proto"), "most_ways", 5)
    assert "methods.proto is trained or tested on 6 ways" in refused("plan", "--suite", suite, "--methods", "proto")


@pytest.mark.parametrize(
    ("most", "words"),
    [(5, ()), (12, ("--protocol", "variable")), (8, ("--protocol", "k-shot", "--shots", "1"))],
    ids=["fixed", "variable", "k-shot"],
)
def test_as_many_ways_as_the_sources_have_classes_are_enough(
    suite: Path, monkeypatch: pytest.MonkeyPatch, most: int, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(load_method("proto"), "most_ways", most)
    result = fsbench("plan", "--suite", suite, "--methods", "proto", *words)
    assert result.exit_code == 0, result.output
