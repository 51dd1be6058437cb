"""One view of the files people have: a folder or a zip, read without ever unpacking it."""

from __future__ import annotations

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

from fsbench.errors import DataError, DataNotFoundError
from fsbench.files.reading import LARGEST, open_regular, read_bytes

__all__ = ["Tree", "open_tree"]

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others zipfile unpacks everything at once
_LONGEST = 1000  # characters of an entry of a zip
_DEEPEST = 32  # folders within each other
_BROKEN = (  # what reading folders and zips raises
    *(OSError, EOFError, LookupError, RuntimeError, struct.error),
    *(zipfile.BadZipFile, zlib.error),
)


class Tree:
    """The files below a folder or in a zip, by relative name with forward slashes.

    What the desktop leaves behind (`__MACOSX`, `.DS_Store`, `._*`, other hidden entries) is not shown. Bytes
    are read into memory; nothing is written.

    Attributes:
        path: The folder or the zip.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile | None) -> None:
        self.path = path
        self._archive = archive

    @property
    def files(self) -> list[str]:
        """The names of the files, sorted."""
        return self._listing[0]

    @property
    def folders(self) -> list[str]:
        """The names of the folders, sorted, including those without files; "" is not among them."""
        return self._listing[1]

    @cached_property
    def _listing(self) -> tuple[list[str], list[str]]:
        """Files and folders; listed when first asked for, as reading files of a known name does not need it."""
        files, folders = _in_folder(self.path) if self._archive is None else _in_zip(self._archive)
        for name in (*files, *folders):
            if not name.isascii() and name != name.encode(errors="replace").decode():
                raise DataError(f"{self.path} has the entry {name!r:.80}, whose name is not UTF-8; rename it.")
        parents = {str(parent) for name in files for parent in PurePosixPath(name).parents}
        return sorted(set(files)), sorted((folders | parents) - {"", "."})

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            DataError: It cannot be read, for instance because the zip is damaged at this place, or it is larger
                than any image (which a zip of a few bytes can claim to be).
        """
        try:
            if self._archive is None:
                return read_bytes(self.path / name)
            size = self._archive.getinfo(name).file_size
            if size > LARGEST:
                raise OSError(errno.EFBIG, f"it claims to have {size:,} bytes, more than {LARGEST:,}")
            with self._archive.open(name) as member:
                return member.read(size)  # without a number, zipfile unpacks more than the size that is claimed
        except _BROKEN as error:
            raise DataError(f"{self.path / name} cannot be read ({error}); get a new copy of it.") from error


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """Open a folder or a zip.

    Raises:
        DataNotFoundError: There is nothing at this path.
        DataError: It is a file but not a zip, or the zip is truncated, or one of its entries points outside of it or
            has a name that is too long, or is not deflated.
    """
    if path.is_dir():
        yield Tree(path, None)
    elif not path.exists():
        raise DataNotFoundError(f"{path} does not exist; name a folder or a zip of images.")
    else:
        with ExitStack() as opened:
            try:
                archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(open_regular(path))))
            except (*_BROKEN, ValueError) as error:
                size = path.stat().st_size
                raise DataError(
                    f"{path} ({size:,} bytes) is no complete zip ({error}); it may be truncated, get a new copy of it."
                ) from error
            for entry in archive.infolist():
                name = entry.filename
                if name.startswith("/") or ".." in name.split("/") or entry.header_offset < 0:
                    raise DataError(f"{path} has the entry {name!r:.80}, which points outside of it; get a clean copy.")
                if len(name) > _LONGEST or name.count("/") > _DEEPEST:
                    raise DataError(f"{path} has the entry {name!r:.80}, whose name is too long; get a clean copy.")
                if entry.compress_type not in _METHODS:
                    raise DataError(f"{path} has the entry {name!r:.80}, which is not deflated; zip it again.")
            yield Tree(path, archive)


def _in_zip(archive: zipfile.ZipFile) -> tuple[list[str], set[str]]:
    entries = [name for name in archive.namelist() if _shown(name)]
    files = [name for name in entries if not name.endswith("/")]
    return files, {name.rstrip("/") for name in entries if name.endswith("/")}


def _in_folder(path: Path) -> tuple[list[str], set[str]]:
    """Walk through a folder, but not through links: those to folders can lead anywhere, and in circles."""
    files, folders, waiting = list[str](), set[str](), [""]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(path / place) as entries:
                for entry in entries:
                    name = f"{place}{entry.name}"
                    if not _shown(entry.name):
                        continue
                    if entry.is_symlink():
                        _check_link(path, name)
                    if not entry.is_dir(follow_symlinks=False):
                        files.append(name)
                    elif name.count("/") < _DEEPEST:
                        folders.add(name)
                        waiting.append(f"{name}/")
                    else:
                        raise DataError(f"{path} has the folder {name!r:.80}, which lies too deep; move it up.")
        except OSError as error:
            raise DataError(
                f"{path / place} cannot be read ({error.strerror}); check its permissions, or remove it."
            ) from error
    return files, folders


def _check_link(folder: Path, name: str) -> None:
    """Refuse a link that leads out of a folder, or to another folder in it."""
    root, end = os.path.realpath(folder), os.path.realpath(folder / name)
    if os.path.commonpath([root, end]) != root or os.path.isdir(end):
        raise DataError(
            f"{folder} has {name!r:.80}, which is a link to a folder or out of this one, to {end!r:.200}; only what "
            "lies in it is read, so put a copy of that in the place of the link."
        )


def _shown(name: str) -> bool:
    return not any(part == "__MACOSX" or part.startswith(".") for part in PurePosixPath(name).parts)
