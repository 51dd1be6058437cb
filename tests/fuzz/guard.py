"""What reading a file may never do: take long, take much memory, write elsewhere, run or unpickle anything."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["Trespass", "guarded"]

_SECONDS = 20.0  # most inputs take milliseconds, but cores may be busy
_MEMORY = 0.6  # GiB on top of what the process had before
_RUNS = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class", "socket.connect")
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_inside: Path | None = None  # the folder that may be written, while something is guarded
_listening = False


class Trespass(BaseException):
    """Something was done that no input may bring about; no `except Exception` hides it."""


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Watch what happens in the block, by Python's audit events; only `folder` may be written.

    Raises:
        Trespass: Saying what was done, or that it took too long or too much memory.
    """
    global _inside, _listening
    if not _listening:
        sys.addaudithook(_hear)
        _listening = True
    _forget_peak()
    before, started, bytecode = _peak(), time.monotonic(), sys.dont_write_bytecode
    former = signal.signal(signal.SIGALRM, _out_of_time)
    left, _ = signal.setitimer(signal.ITIMER_REAL, _SECONDS)  # of the time that the whole test has, 0 if it has any
    sys.dont_write_bytecode, _inside = True, folder.resolve()
    try:
        yield
    finally:
        sys.dont_write_bytecode, _inside = bytecode, None
        seconds = time.monotonic() - started
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        signal.setitimer(signal.ITIMER_REAL, left and max(left - seconds, 0.001))
        if seconds > _SECONDS:
            raise Trespass(f"it took {seconds:.0f} s")
        if (grown := _peak() - before) > _MEMORY:
            raise Trespass(f"it took {grown:.1f} GiB of memory")


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _inside is None:
        return
    if event.startswith(_RUNS):
        raise Trespass(f"{event} {arguments}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        _check(event, arguments[0])
    elif event in _WRITES:
        for path in arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]:
            _check(event, path)


def _check(event: str, path: Any) -> None:
    if isinstance(path, int):  # a file that is already open
        return
    place = Path(os.path.realpath(os.fsdecode(path)))
    if not (_inside and place.is_relative_to(_inside)) and place != Path(os.devnull):
        raise Trespass(f"{event} {place}, outside of {_inside}")


def _out_of_time(number: int, frame: FrameType | None) -> None:
    if frame and frame.f_code.co_filename in (__file__, contextlib.__file__):  # it ends just now, and says so itself
        return
    raise Trespass(f"it took more than {_SECONDS:.0f} s")


def _forget_peak() -> None:
    """Count the most memory from now on, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """The most memory that this process has held, GiB."""
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
