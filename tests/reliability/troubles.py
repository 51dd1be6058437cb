"""What can befall a run, brought about within its own process at a chosen one of its file-system events."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["NOTHING", "WRITING", "Event", "Trouble", "befall", "flip"]

WRITING = ("mkdir", "create", "write", "fsync", "rename")  # kinds of events that a full disk may refuse
_KINDS = {"os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "remove"}


@dataclass(frozen=True)
class Event:
    """A file-system event: one of `WRITING`, "read" or "remove", and the path within the out folder."""

    kind: str
    path: str


@dataclass(frozen=True)
class Trouble:
    """What happens.

    Attributes:
        what: "signal" (the process sends it to itself), "error" (from then on, every event that writes fails),
            "flip" (a bit of a file), "remove" (a folder) or "nothing".
        subject: The number of the signal or error, or the path.
        event: How many events come before it.
        clock: How `time.time` and `time.monotonic` go: "right"; "backwards" by an hour at every look, which only
            `time.time` may; or "still".
    """

    what: str = "nothing"
    subject: Any = None
    event: int = 0
    clock: str = "right"


NOTHING = Trouble()


def befall(trouble: Trouble, folder: Path, tell: Callable[[Event], None]) -> None:
    """From now on, tell of every event within a folder before it happens, and make trouble at the right one."""
    count = 0
    _set_clock(trouble.clock)

    def happen(event: Event) -> None:
        nonlocal count
        tell(event)
        count += 1
        if trouble.what == "error":
            if count > trouble.event and event.kind in WRITING:
                raise OSError(trouble.subject, os.strerror(trouble.subject))
        elif count == trouble.event + 1:
            _act(trouble)

    def hear(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" or name in _KINDS:
            path, kind = arguments[0], _KINDS.get(name) or _kind_of_open(arguments[2])
            if isinstance(path, str | Path) and Path(path).is_relative_to(folder):
                happen(Event(kind, str(Path(path).relative_to(folder))))

    def fsync(file: int) -> None:
        happen(Event("fsync", ".tmp"))
        flush(file)

    flush, os.fsync = os.fsync, fsync  # it has no audit event
    sys.addaudithook(hear)


def flip(path: Path, position: int, bit: int) -> None:
    """Change one bit of a file in its place."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    with path.open("rb+") as file:
        file.write(content)


def _kind_of_open(flags: int) -> str:
    if flags & os.O_EXCL:
        return "create"
    return "write" if flags & (os.O_WRONLY | os.O_RDWR) else "read"


def _act(trouble: Trouble) -> None:
    match trouble.what:
        case "signal":
            os.kill(os.getpid(), trouble.subject)
        case "flip":
            flip(Path(trouble.subject), -100, 0)
        case "remove":
            shutil.rmtree(trouble.subject)


def _set_clock(clock: str) -> None:
    now, looks = time.time(), 0

    def backwards() -> float:
        nonlocal looks
        looks += 1
        return now - 3600.0 * looks

    if clock == "backwards":
        time.time = backwards
    elif clock == "still":
        time.time = time.monotonic = lambda: now
