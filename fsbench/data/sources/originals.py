"""What the authors' own layouts have in common: lists that name the images, to be compared with the files."""

from __future__ import annotations

import logging
import socket
import tarfile
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from fsbench.data.card import Card
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import read_lists
from fsbench.errors import DataError
from fsbench.files.tree import Tree

__all__ = ["check_names", "complete_listing", "fetch", "find_layout", "read_lines"]

_LOG = logging.getLogger("fsbench")
_SECONDS_WITHOUT_A_BYTE = 60.0
_Line = TypeVar("_Line")
_Name = TypeVar("_Name", str, int)


def find_layout(origin: Path, places: Sequence[str], holds: str = "") -> Path | None:
    """The first of some folders below `origin` that is there and holds a certain file or folder."""
    return next((origin / place for place in places if (origin / place / holds).exists()), None)


def read_lines(tree: Tree, name: str, parse: Callable[[str], _Line]) -> list[_Line]:
    """The lines of a list, but for empty ones.

    Args:
        tree: Where it is.
        name: Its file.
        parse: Makes something of a line; raises ValueError for one that is not as it should be.

    Raises:
        DataError: It is not there, is empty, or has such a line.
    """
    path = tree.path / name
    lines = tree.read(name).decode("utf-8", errors="replace").splitlines()
    parsed: list[_Line] = []
    for number, line in enumerate(lines, 1):
        try:
            if not line.replace("\t", " ").isprintable():
                raise ValueError("it has characters that cannot be printed")
            parsed += [parse(line.strip())] if line.strip() else []
        except ValueError as error:
            raise DataError(
                f"line {number} of {path} is {line!r:.80} ({error!s:.200}); get a new copy of it."
            ) from error
    if not parsed:
        raise DataError(f"{path} is empty; get a new copy of it.")
    return parsed


def complete_listing(
    card: Card, tree: Tree, named: Mapping[str, Sequence[FileImage]], *, each: int | None = None
) -> Listing:
    """The images that the authors' lists name, all of which must be there, in the order of their files.

    As only files of the tree count, a list cannot name one that lies outside of it.

    Args:
        card: Of the source; its split lists say what classes there must be.
        tree: The authors' files.
        named: Class name to its images.
        each: Images of every class, where the authors fix their number.

    Raises:
        DataError: A class is missing or unknown, an image is not there or is named twice, or a class has not so many.
    """
    expected = [name for names in read_lists(card.folder / "splits.toml").values() for name in names]
    check_names(tree.path, "classes", expected, named)
    there = set(tree.files)
    for name, images in named.items():
        if absent := sorted(image.file for image in images if image.file not in there):
            raise DataError(
                f"{tree.path}: {absent[0]:.200} of the class {name!r} is not there ({len(absent)} of its "
                f"{len(images)} images are not); get a new copy."
            )
    for file, count in Counter(image.file for images in named.values() for image in images).items():
        if count > 1:
            raise DataError(f"{tree.path}: the lists name {file:.200} {count} times; get a new copy of them.")
    for name, images in named.items():
        if each is not None and len(images) != each:
            raise DataError(f"{tree.path}: {name!r} has {len(images)} images instead of {each}; get a new copy.")
    return Listing({name: sorted(images, key=attrgetter("file")) for name, images in named.items()})


def check_names(path: Path, what: str, expected: Collection[_Name], found: Collection[_Name]) -> None:
    """Compare what is found with what there must be.

    Raises:
        DataError: Naming the path and the first that are missing, or that are too many.
    """
    wanted, there = set(expected), set(found)
    for kind, some in (("missing", sorted(wanted - there)), ("not expected", sorted(there - wanted))):
        if some:
            shown = ", ".join(f"{name!r:.80}" for name in some[:5]) + (", ..." if len(some) > 5 else "")
            raise DataError(
                f"{path}: {what} {kind}: {shown} ({len(wanted & there)} of {len(wanted)} are there); get a new copy."
            )


def fetch(source: str, dataset: Callable[..., object], folder: Path) -> None:
    """Download a source with torchvision.

    Args:
        source: Its name.
        dataset: The class of torchvision, called with `(folder, download=True)`.
        folder: Where the files go.

    Raises:
        DataError: The files cannot be fetched, or are not what was published.
    """
    _LOG.info("%s: downloading into %s", source, folder)
    try:
        with _https_only():
            dataset(str(folder), download=True)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{source} cannot be downloaded ({error}); get its archive by hand.") from error


@contextmanager
def _https_only() -> Iterator[None]:
    """Let no request go over plain http, as torchvision tries after a bad certificate, and none wait without end."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    before = socket.getdefaulttimeout()
    urllib.request.install_opener(opener)
    socket.setdefaulttimeout(_SECONDS_WITHOUT_A_BYTE)
    try:
        yield
    finally:
        urllib.request.install_opener(urllib.request.build_opener())
        socket.setdefaulttimeout(before)
