"""The one way to read a file that nobody vouches for: a regular file of bounded size, which is never waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from fsbench.files.flags import BINARY, NEVER_WAIT

__all__ = ["LARGEST", "open_regular", "read_bytes", "read_text"]

LARGEST: Final = 2**28  # bytes of a file that is read as a whole, where nothing else is said


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read it piece by piece.

    A pipe that nobody writes to would be waited for without end, and a device may have no end.

    Raises:
        OSError: It is not there, cannot be read, or is no regular file.
    """
    try:
        number = os.open(path, os.O_RDONLY | NEVER_WAIT | BINARY)
    except ValueError as error:  # of a path with a zero in it
        raise OSError(errno.EINVAL, str(error)) from error
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with os.fdopen(number, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(number)


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """The content of a file.

    Raises:
        OSError: As for `open_regular`, or it has more than `most` bytes, or grew while it was read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}")
        content = file.read(size + 1)
        if len(content) > size:
            raise OSError(errno.EFBIG, f"it has more than the {size:,} bytes that it says it has")
        return content


def read_text(path: Path, most: int = LARGEST) -> str:
    """The content of a file of UTF-8.

    Raises:
        OSError: As for `read_bytes`.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_bytes(path, most).decode("utf-8")
