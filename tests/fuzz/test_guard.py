"""The guard notices what it is there for; else no test of bad inputs would mean anything."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.guard import Trespass, guarded


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        (lambda folder: (folder.parent / "elsewhere").write_text("x"), "open .*elsewhere, outside of"),
        (lambda folder: (folder / ".." / "elsewhere").mkdir(), "os.mkdir .*elsewhere, outside of"),
        (lambda folder: (folder / "a").rename(folder.parent / "elsewhere"), "os.rename .*elsewhere, outside of"),
        (lambda folder: os.remove(folder.parent / "b"), "os.remove .*b, outside of"),
        (lambda folder: subprocess.run([sys.executable, "-V"]), "subprocess.Popen"),
        (lambda folder: os.system("true"), "os.system"),
        (lambda folder: pickle.loads(pickle.dumps(os.getcwd)), "pickle.find_class"),
        (lambda folder: bytearray(b"x") * 2**30, "GiB of memory"),
    ],
)
def test_a_trespass_is_noticed(tmp_path: Path, action: Callable[[Path], object], complaint: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "a").touch()
    (tmp_path / "b").touch()
    with pytest.raises(Trespass, match=complaint), guarded(folder):
        action(folder)
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "b").exists()


def test_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.guard._SECONDS", 0.5)
    with pytest.raises(Trespass, match=r"it took .* s"), guarded(tmp_path):
        time.sleep(5)


def test_memory_counts_when_the_input_is_refused_in_the_end(tmp_path: Path) -> None:
    with pytest.raises(Trespass, match="GiB of memory"), guarded(tmp_path):
        raise ValueError(len(bytearray(b"x") * 2**30))


def test_what_is_allowed_is_not(tmp_path: Path) -> None:
    with guarded(tmp_path):
        (tmp_path / "a").write_text("x")
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").unlink()
    (tmp_path.parent / "afterwards").mkdir()


@pytest.mark.timeout(method="thread")  # the test has the timer
def test_a_timer_that_was_there_goes_on_afterwards(tmp_path: Path) -> None:
    signal.setitimer(signal.ITIMER_REAL, 100)
    with guarded(tmp_path):
        time.sleep(0.01)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    assert 0 < left < 100
