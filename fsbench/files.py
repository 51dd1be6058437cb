"""The one way to write a file, and the hashes that say whether it is still what was written."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fsbench.errors import OutputError

__all__ = ["atomic_path", "canonical_json", "locked", "make_folder", "sha256_file", "sha256_json", "write_atomic"]


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it when the block ends without an exception.

    The file is flushed to disk before it takes the name, so that a reader sees the old content or the
    new, never a part. When the block fails, the temporary file is removed and `target` is untouched; what
    a killed process left of an earlier try is removed by the next one.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    make_folder(target.parent)
    try:
        _sweep(target)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}; choose another folder.") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}; nothing was changed.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(target: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `target` in one step.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


@contextmanager
def locked(target: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep other processes that lock the same target waiting; the lock is the file `<target>.lock`.

    Args:
        target: What is going to be made; it need not exist.
        waiting: Called if another process has the lock.

    Raises:
        OutputError: The folder cannot be written.
    """
    make_folder(target.parent)
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise OutputError(f"cannot write {lock.lock_file}: {error.strerror}; choose another folder.") from error
    try:
        yield
    finally:
        lock.release()


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sweep(target: Path) -> None:
    """Remove the temporary files for `target` whose process is no more."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.*.tmp"):
        process = left.name.removeprefix(f".{target.name}.").partition(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
