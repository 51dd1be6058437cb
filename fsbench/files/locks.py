"""Locks between processes, on one machine or several that share a file system."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from fsbench.errors import OutputError, UsageError
from fsbench.files.atomic import make_folder
from fsbench.files.flags import NO_LINK
from fsbench.files.reading import read_text

__all__ = ["locked"]

_SECONDS_A_WORD = 60.0  # between two words about what is waited for


@contextmanager
def locked(target: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes that lock the same target waiting; the lock is the file `<target>.lock`.

    Whoever may write into the folder may have the lock. It says who has it, and is left there.

    Args:
        target: What is going to be made; it need not exist.
        waiting: Told who has the lock, when it is another process, and every minute from then on.

    Raises:
        OutputError: The folder cannot be written or has no locks, or it was waited for longer than the minutes that the
            environment variable FSBENCH_WAIT says.
    """
    make_folder(target.parent)
    path = target.with_name(f"{target.name}.lock")
    try:
        mode = (target.parent.stat().st_mode & 0o066) | 0o600
        lock = FileLock(path, mode=mode, fallback_to_soft=False)  # which would not keep others waiting: see `_sign`
        _acquire(lock, path, waiting)
        _sign(path)
    except OSError as error:
        raise OutputError(f"cannot lock {path}: {error.strerror or error}; choose another folder.") from error
    try:
        yield
    finally:
        lock.release()


def _sign(path: Path) -> None:
    """Say in a lock who has it, as far as possible."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | NO_LINK)
        try:
            os.write(
                descriptor,
                f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T %z')}".encode(),
            )
        finally:
            os.close(descriptor)


def _acquire(lock: BaseFileLock, path: Path, waiting: Callable[[str], None]) -> None:
    """Wait for a lock, as long as may be."""
    started, most = time.monotonic(), _longest_wait()
    patience, told = 0.0, False
    while True:
        try:
            lock.acquire(timeout=patience)
            return
        except Timeout:
            holder = _holder(path)
        left = most - (time.monotonic() - started)
        if left <= 0 and told:
            raise OutputError(
                f"{path} is still held by {holder}, after {most / 60:g} minutes (FSBENCH_WAIT); see to that process, "
                "or wait longer."
            )
        waiting(holder)
        told = True
        patience = min(_SECONDS_A_WORD, max(left, 0.0))


def _longest_wait() -> float:
    """Seconds."""
    minutes = os.environ.get("FSBENCH_WAIT") or "inf"
    try:
        if float(minutes) >= 0:
            return 60 * float(minutes)
    except ValueError:
        pass
    raise UsageError(f"FSBENCH_WAIT is {minutes!r:.80}; it is a number of minutes.")


def _holder(path: Path) -> str:
    try:
        return read_text(path, 1000).strip() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"
