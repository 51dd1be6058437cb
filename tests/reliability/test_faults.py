from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reliability.folders import contents, temporaries
from reliability.forks import Ended
from reliability.troubles import Trouble

pytestmark = pytest.mark.slow

Mount = Callable[[str], Path]
Run = Callable[..., Ended]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system in memory with given options, again with others."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode != 0:
            pytest.skip("only root can mount a file system here")
        return folder

    if shutil.which("mount") is None:
        pytest.skip("there is no command `mount` here")
    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_at_every_write_in_turn(
    run_one: Run, one_cell: Path, tmp_path: Path, tally: Counter[str]
) -> None:
    out = tmp_path / "out"
    before, event = contents(out), 0
    while (ended := run_one(out, Trouble("error", errno.ENOSPC, event))).code != 0:
        assert "No space left on device" in ended.refusal
        assert not temporaries(out)
        after = contents(out)
        assert after.keys() >= before.keys()
        event = event + 1 if after == before else 0  # the next run goes on behind what is written
        before = after
        tally["disk full at a write"] += 1
    assert contents(out) == contents(one_cell)


def test_a_real_disk_that_is_full(run_one: Run, one_cell: Path, disk: Mount, tally: Counter[str]) -> None:
    sizes = iter(range(8, 4096, 8))
    out = disk(f"size={next(sizes)}k") / "out"
    refusals = 0
    while (ended := run_one(out)).code != 0:
        assert "No space left on device" in ended.refusal
        assert not temporaries(out)
        refusals += 1
        disk(f"remount,size={next(sizes)}k")
    assert refusals
    tally["disk really full"] += refusals
    assert contents(out) == contents(one_cell)


def test_a_folder_that_cannot_be_written(run_one: Run, one_cell: Path, tmp_path: Path) -> None:
    out = shutil.copytree(one_cell, tmp_path / "out")
    assert "Read-only file system" in run_one(out, Trouble("error", errno.EROFS)).refusal
    assert contents(out) == contents(one_cell)
    assert not temporaries(out)


def test_a_folder_that_really_cannot_be_written(run_one: Run, one_cell: Path, disk: Mount) -> None:
    out = shutil.copytree(one_cell, disk("size=8m") / "out")
    disk("remount,ro")
    assert "Read-only file system" in run_one(out).refusal
    assert "Read-only file system" in run_one(out.with_name("other")).refusal
    assert contents(out) == contents(one_cell)


@pytest.mark.parametrize("clock", ["backwards", "still"])
def test_the_clock_does_not_matter(clock: str, run: Run, uninterrupted: tuple[Path, Ended], tmp_path: Path) -> None:
    reference, smooth = uninterrupted
    half = Trouble("signal", signal.SIGKILL, len(smooth.events) // 2, clock=clock)
    assert run(tmp_path, half).code == -signal.SIGKILL
    assert run(tmp_path, Trouble(clock=clock)).code == 0
    assert contents(tmp_path) == contents(reference)
