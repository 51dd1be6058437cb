"""Numbers that ask for more than any machine has are refused before anything is made of them."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
import torch

import fsbench
from fsbench.cli.main import main
from fsbench.data.prepare import prepare_own
from fsbench.data.prepared import Prepared, write_pack
from fsbench.episodes.streams import Stream, address_key
from fsbench.errors import EpisodeError, OutputError, SuiteError, UsageError
from fsbench.suite_files import load_suite
from helpers.commands import fsbench as command
from helpers.tiny import write_suite

TOO_MUCH = {
    "way = 5": ("way = 10_001", "way = 18446744073709551616", "way = -5"),
    "queries = ": ("queries = 1_000_000 #", "queries = 0 #"),
    "number = 20": ("number = 100_001",),
    "seed = 0": ("seed = 9223372036854775808", "seed = -9223372036854775809"),
    "tasks = ": ("tasks = 1_000_000_000 #", "tasks = 18446744073709551616 #"),
    "batch = ": ("batch = 1_000_000_000_000 #", "batch = 1 #"),
    "steps = ": ("steps = 1_000_000_001 #",),
    "rate = ": ("rate = 1e308 #",),
    "title = ": ("title = '" + "a" * 201 + "' #",),
}


@pytest.mark.parametrize("old", TOO_MUCH)
def test_a_suite_that_asks_for_too_much_is_refused(old: str, tmp_path: Path) -> None:
    path = write_suite(tmp_path / "s.toml")
    plain = path.read_text()
    assert old in plain
    for new in TOO_MUCH[old]:
        path.write_text(plain.replace(old, new, 1))
        with pytest.raises(SuiteError, match=r"s\.toml, line \d+: .*(less|greater) than|at most 200 characters"):
            load_suite(str(path))


@pytest.mark.parametrize("decay", ["-1", "1e308", "inf"])
def test_a_weight_decay_that_is_none_is_refused(decay: str, tmp_path: Path) -> None:
    path = write_suite(tmp_path / "s.toml")
    path.write_text(path.read_text().replace("rate = ", f'optimiser = "adamw"\nweight_decay = {decay}\nrate = ', 1))
    with pytest.raises(SuiteError, match="weight_decay"):
        load_suite(str(path))


def test_episodes_are_estimated_before_they_are_drawn() -> None:
    key = address_key({"a": 1})
    with pytest.raises(EpisodeError, match=r"100,000,000 draws each take 74,506 GiB, and at most 2 GiB"):
        Stream(key, words=10**8, episodes=range(100_000))
    with pytest.raises(EpisodeError, match="ask for fewer or smaller ones"):
        Stream(key, words=2**70, episodes=range(1))


@pytest.mark.parametrize("seeds", [0, 1001, 10**9])
def test_no_run_has_seeds_without_end(seeds: int) -> None:
    assert "--seeds" in command("run", "--seeds", seeds).stderr
    with pytest.raises(UsageError, match=f"seeds is {seeds}; it must be at least 1 and at most 1,000"):
        fsbench.run_suite("glyphs", seeds=seeds)


def test_a_pack_that_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    images = np.zeros((4, 3, 16, 16), dtype=np.uint8)
    prepared = Prepared(images, np.arange(4), list("abcd"), list("abcd"), {"test": [0, 1, 2, 3]}, {})
    (tmp_path / "mine-16px").mkdir()
    (tmp_path / "mine-16px" / ".images.npy.0123456789abcdef.tmp").write_bytes(b"of a try that was killed")
    with pytest.raises(OutputError, match=r"the images of mine take 3,072 bytes, and .* has 1,000 left; choose"):
        write_pack(tmp_path / "mine-16px", "mine", prepared)
    assert list((tmp_path / "mine-16px").iterdir()) == []


@pytest.mark.parametrize("name", ["a" * 65, "a" * 300, "", "a\0b", "../a"])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a source"):
        prepare_own(name, tmp_path)


def test_a_path_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    ended = command("data", "prepare", "mine", "--from", tmp_path / ("a" * 300))
    assert ended.exit_code == 2
    assert "File name too long" in ended.stderr


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "there is too little memory"),
        (np._core._exceptions._ArrayMemoryError((10**12,), np.dtype("u1")), "there is too little memory"),  # type: ignore[attr-defined]
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "there is too little memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "there is too little memory"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a\x1b[2J"), "the operating system reports an error"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(main.commands, "fail", click.Command("fail", callback=fail))
    ended = command("fail")
    assert ended.exit_code == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "\x1b" not in ended.stderr
