from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import fsbench
from fsbench.records import Cuda
from fsbench.run import environment
from fsbench.run.environment import describe_environment


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit() -> str | None:
    return describe_environment(torch.device("cpu")).commit


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git")
def test_the_commit_is_that_of_the_code_whatever_a_hook_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {}
    for name in ("ours", "other"):
        folder = tmp_path / name
        (folder / "fsbench").mkdir(parents=True)
        (folder / "fsbench" / "__init__.py").write_text(name)
        for words in (("init",), ("add", "."), ("commit", "-m", name)):
            git(folder, *words)
        heads[name] = git(folder, "rev-parse", "HEAD")
    code = tmp_path / "ours" / "fsbench" / "__init__.py"
    monkeypatch.setattr(fsbench, "__file__", str(code))
    assert commit() == heads["ours"]
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert commit() == heads["ours"]
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path / 'pwned'}\n")
    monitor.chmod(0o755)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    git(tmp_path / "ours", "config", "core.fsmonitor", str(monitor))
    code.write_text("changed")
    assert commit() == f"{heads['ours']}+"
    assert not (tmp_path / "pwned").exists()


def test_git_that_does_not_answer_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 60)

    monkeypatch.setattr(subprocess, "run", wait)
    assert commit() is None


def test_a_cpu_has_no_cuda() -> None:
    assert describe_environment(torch.device("cpu")).cuda is None


@pytest.mark.parametrize("driver", ["570.124.06", None])
def test_a_gpu_is_described_with_its_libraries(
    driver: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if driver is not None:
        (tmp_path / "version").write_text(f"{driver}\n")
    monkeypatch.setattr(environment, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    found = describe_environment(torch.device("cuda"))
    assert (found.device, found.cuda) == ("NVIDIA X", Cuda(runtime="12.8", cudnn="9.10.2", driver=driver, tf32=False))
