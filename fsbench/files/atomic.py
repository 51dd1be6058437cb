"""The one way to write a file, and the hashes that say whether it is still what was written."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fsbench.errors import OutputError
from fsbench.files.flags import BINARY, FOLDER, fcntl
from fsbench.files.reading import open_regular

__all__ = [
    "atomic_path",
    "canonical_json",
    "make_folder",
    "remove",
    "rename",
    "set_aside",
    "sha256_file",
    "sha256_json",
    "write_atomic",
]


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it when the block ends without an exception.

    There is an empty file at the temporary path, which the block fills. It is flushed to disk before it takes
    the name, so that a reader sees the old content or the new, never a part; the name is flushed too. When the
    block fails, it is removed and `target` is untouched; what a killed process left of an earlier try is removed by
    the next one.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        _sweep(target)
        with _created(temporary) as file:
            yield temporary
            os.fsync(file)
            if fcntl is not None:  # while it is locked
                os.replace(temporary, target)
        if fcntl is None:  # a file that is open would not be renamed
            os.replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        why = error.strerror or error  # NumPy's have a text alone
        raise OutputError(f"cannot write {target}: {why}; nothing was changed.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomic(target: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `target` in one step.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def set_aside(path: Path) -> Path:
    """Rename what is damaged to `<name>.corrupt`, or `<name>.corrupt.2` and so on, and return its new path.

    Raises:
        OutputError: The folder cannot be written.
    """
    endings = itertools.chain([""], (f".{number}" for number in itertools.count(2)))
    places = (path.with_name(f"{path.name}.corrupt{ending}") for ending in endings)
    return rename(path, next(place for place in places if not os.path.lexists(place)))


def rename(path: Path, new: Path) -> Path:
    """Give a file another path, and return that.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        return path.replace(new)
    except OSError as error:
        raise OutputError(f"cannot rename {path}: {error.strerror}; check its permissions and run again.") from error


def remove(path: Path) -> None:
    """Remove a file, if it is there; a folder in its place, which may hold anything, is set aside instead.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if not path.is_dir():
            raise OutputError(
                f"cannot remove {path}: {error.strerror}; check its permissions and run again."
            ) from error
        set_aside(path)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}; choose another one.") from error


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_json(value: Any) -> str:
    """The SHA-256 of `canonical_json(value)`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make sure that the names in a folder outlive the machine, where its file system can."""
    if FOLDER is None:
        return
    with suppress(OSError):  # the files themselves are written
        descriptor = os.open(folder, os.O_RDONLY | FOLDER)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _created(temporary: Path) -> Iterator[int]:
    """Create a file that this process has locked until the block ends, or until the process does.

    A process number would not do: others get the same one later, in containers even as a rule.
    """
    while True:
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
        try:
            if fcntl is not None:
                with suppress(OSError):  # where there are no locks, nobody can find out that it is left over
                    fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink:  # else somebody swept it before it was locked
                yield file
                return
        finally:
            os.close(file)


def _sweep(target: Path) -> None:
    """Remove the temporary files for `target` that no process is writing any more."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 16}.tmp"):
        if fcntl is None:
            with suppress(OSError):  # somebody has it open
                left.unlink()
            continue
        with suppress(OSError), left.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
