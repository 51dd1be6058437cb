"""Rows of one method on several backbones, in one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import refused, run
from helpers.tiny import write_source, write_suite

pytestmark = pytest.mark.slow

RESNET12 = """
[methods.proto-resnet12]
method = "proto"
label = "ProtoNet"
{start}
[methods.proto-resnet12.params]
temperature = 1.0

[methods.proto-resnet12.backbone]
name = "resnet12"
width = 4
drop_rate = 0.2

[methods.proto-resnet12.training]
kind = "episodes"
way = 5
queries = 5
tasks = 2
steps = 4
rate = 1e-3
validate_every = 2
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")


def two_rows(folder: Path, start: str = "") -> Path:
    path = write_suite(folder / "suite.toml", rows=("proto",))
    path.write_text(path.read_text(encoding="utf-8") + RESNET12.format(start=start), encoding="utf-8")
    return path


def test_a_table_holds_rows_of_one_method_on_two_backbones(tmp_path: Path) -> None:
    shown = run(two_rows(tmp_path), tmp_path / "out", "--shots", 1).stdout
    assert "Conv4-8" in shown
    assert "ResNet-12 (width 4)" in shown
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "records").iterdir()]
    records.sort(key=lambda record: record["backbone_label"])
    assert [record["backbone_label"] for record in records] == ["Conv4-8", "ResNet-12 (width 4)"]
    assert [record["features"] for record in records] == [8, 40]
    assert records[1]["identity"]["backbone"] == {"name": "resnet12", "width": 4, "drop_rate": 0.2}
    assert records[0]["identity"]["episode_set"] == records[1]["identity"]["episode_set"]


def test_a_row_does_not_start_from_one_with_another_backbone(tmp_path: Path) -> None:
    suite = two_rows(tmp_path, 'start = "proto"\n')
    assert "methods.proto-resnet12.start names 'proto', which has another backbone" in refused(
        "run", "--suite", suite, "--out", tmp_path / "out", "--device", "cpu"
    )


def test_a_row_without_pooling_starts_from_one_with_it(tmp_path: Path) -> None:
    """The pooling has no weights."""
    write_source(tmp_path / "cache", size=32)
    suite = two_rows(tmp_path)
    whole = RESNET12.format(start='start = "proto-resnet12"\n').replace("proto-resnet12]", "whole]")
    whole = whole.replace("proto-resnet12.", "whole.").replace("width = 4\n", "width = 4\navg_pool = false\n")
    suite.write_text(suite.read_text(encoding="utf-8") + whole, encoding="utf-8")
    run(suite, tmp_path / "out", "--shots", 1, "--image-size", 32, "--methods", "proto-resnet12,whole")
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "records").iterdir()]
    found = {record["identity"]["row"]: (record["backbone_label"], record["features"]) for record in records}
    assert found == {
        "proto-resnet12": ("ResNet-12 (width 4)", 40),
        "whole": ("ResNet-12 (width 4, no pooling)", 160),
    }


def test_an_option_that_a_backbone_lacks_is_one_sentence(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.toml", ("width = 8", "width = 8\ndepth = 4"), rows=("proto",))
    assert "the backbone 'conv4' takes no depth; leave it out of the suite." in refused(
        "run", "--suite", suite, "--out", tmp_path / "out", "--device", "cpu"
    )
