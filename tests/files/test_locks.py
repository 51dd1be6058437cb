"""Locks: who may have them, what they say, and how long they are waited for."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsbench.errors import OutputError, UsageError
from fsbench.files.locks import locked


def nobody(holder: str) -> None:
    raise AssertionError(f"waiting for {holder}")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A target whose lock somebody else has."""
    path = tmp_path / "target.lock"
    path.write_text("process 7 on host since noon")
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield tmp_path / "target"
    os.close(descriptor)


@pytest.mark.parametrize(("folder", "lock"), [(0o1777, 0o666), (0o2775, 0o664), (0o755, 0o644), (0o700, 0o600)])
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_whoever_may_write_into_the_folder_may_have_the_lock(tmp_path: Path, folder: int, lock: int, mask: int) -> None:
    tmp_path.chmod(folder)
    before = os.umask(mask)
    try:
        with locked(tmp_path / "target", nobody):
            assert (tmp_path / "target.lock").stat().st_mode & 0o777 == lock
    finally:
        os.umask(before)


def test_a_lock_says_who_has_it(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "target", nobody):
            said = (tmp_path / "target.lock").read_text()
    assert said.startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")
    assert len(said.splitlines()) == 1


def test_the_holder_is_named_again_and_again_until_it_has_ended(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsbench.files.locks._SECONDS_A_WORD", 0.01)
    said: list[str] = []

    def waiting(holder: str) -> None:
        said.append(holder)
        if len(said) == 3:
            held.with_name("target.lock").unlink()  # and with it the lock

    with locked(held, waiting):
        pass
    assert said == ["process 7 on host since noon"] * 3


@pytest.mark.parametrize("content", [b"", b"\xff", bytes(2000)])
def test_a_holder_that_says_nothing_is_another_process(
    held: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.with_name("target.lock").write_bytes(content)
    monkeypatch.setenv("FSBENCH_WAIT", "0")
    said: list[str] = []
    with pytest.raises(OutputError, match="is still held by another process, after 0 minutes"):  # noqa: SIM117
        with locked(held, said.append):
            pass
    assert said == ["another process"]


def test_a_wait_may_have_a_limit(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_WAIT", "0.0005")
    said: list[str] = []
    with pytest.raises(OutputError, match=r"held by process 7 on host since noon, after 0\.0005 min"):  # noqa: SIM117
        with locked(held, said.append):
            pass
    assert said == ["process 7 on host since noon"]


def test_who_waits_is_told_even_where_nobody_waits(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have something else to do meanwhile."""
    monkeypatch.setenv("FSBENCH_WAIT", "0")

    def leave(holder: str) -> None:
        raise KeyError(holder)

    with pytest.raises(KeyError, match="process 7"), locked(held, leave):
        pass


@pytest.mark.parametrize("minutes", ["long", "-1", "nan"])
def test_a_limit_is_a_number_of_minutes(tmp_path: Path, minutes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_WAIT", minutes)
    with pytest.raises(UsageError, match=f"FSBENCH_WAIT is '{minutes}'; it is a number of minutes"):  # noqa: SIM117
        with locked(tmp_path / "target", nobody):
            pass


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "dear").write_text("dear")
    (tmp_path / "target.lock").symlink_to(tmp_path / "dear")
    with pytest.raises(OutputError, match=r"cannot lock .*target\.lock: "), locked(tmp_path / "target", nobody):
        pass
    assert (tmp_path / "dear").read_text() == "dear"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_sentence(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    why = re.escape(os.strerror(number))
    with pytest.raises(OutputError, match=rf"cannot lock .*: {why}; choose another folder"):  # noqa: SIM117
        with locked(tmp_path / "target", nobody):
            pass
