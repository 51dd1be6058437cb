"""`fsbench doctor` says what is there and what a run would use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from fsbench.cli.main import main


def doctor(*words: str) -> str:
    result = CliRunner().invoke(main, ["doctor", *words])
    assert (result.exit_code, result.exception) == (0, None)
    return result.output


def test_it_says_which_sources_have_files(tmp_path: Path) -> None:
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / "images_background.zip").touch()
    data = json.loads(doctor("--json", "--data-root", str(tmp_path)))["data"]
    assert data["files"] == str(tmp_path)
    assert data["sources"] == ["omniglot"]
    assert "miniimagenet" in data["missing"]
    assert "glyphs" not in data["missing"]  # needs no files


def test_packs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "not" / "yet"))
    assert json.loads(doctor("--json"))["data"]["packs"]["number"] == 0
    (tmp_path / "packs" / "omniglot-28px").mkdir(parents=True)
    (tmp_path / "packs" / "omniglot-28px" / "pack.json").touch()
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path))
    assert json.loads(doctor("--json"))["data"]["packs"] == {"folder": str(tmp_path / "packs"), "number": 1}


def test_gpus_that_the_driver_counts_but_torch_cannot_use_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert json.loads(doctor("--json"))["gpus"] == []


def test_it_says_what_a_run_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    lines = dict(line.split(maxsplit=1) for line in doctor().splitlines())
    assert lines["gpu"] == "none that torch can use"
    assert lines["run"] == f"device cpu, fp32 in backbones, {torch.get_num_threads()} threads"
    assert torch.__version__ in lines["versions"]
