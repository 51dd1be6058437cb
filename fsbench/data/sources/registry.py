"""Source modules: each turns the files of one source into arrays.

A module has `prepare(card, variant, size, origin) -> Prepared` and, if its card says so,
`download(folder)`. To add a source, add its card and a module of its name.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from fsbench.data.card import Card, plugin_error, plugins
from fsbench.data.prepared import Prepared
from fsbench.plugins import blame_package

__all__ = ["SourceModule", "source_module"]

_OTHERWISE = {"cifar_fs": "cifar100", "fc100": "cifar100"}  # sources whose module is not called as they are


class SourceModule(Protocol):
    """What a source module offers."""

    def prepare(self, card: Card, variant: str, size: int, origin: Path) -> Prepared:
        """Read the files in `origin` and make the arrays of a pack.

        Args:
            card: The card of the source; it says what must be there.
            variant: The name of one of its variants.
            size: Height and width of the images, pixels.
            origin: The folder of the files; an embedded source does not look at it.

        Raises:
            DataNotFoundError: The files are not there.
            DataError: They are damaged, or not what the card declares.
        """

    def download(self, folder: Path) -> None:
        """Fetch the files into `folder`; only of a source whose card says that it can be downloaded.

        Raises:
            DataError: They cannot be fetched, or are not what was published.
        """


def source_module(card: Card) -> SourceModule:
    """The module that prepares a source; imported now, so that only the one that is needed is.

    Raises:
        DataError: It belongs to an installed package and does not work.
    """
    if (point := plugins().get(card.name)) is None:
        module = _OTHERWISE.get(card.name, card.name)
        return cast(SourceModule, importlib.import_module(f"fsbench.data.sources.{module}"))
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # a package raises whatever comes up
        raise plugin_error(point, error) from error
    blame_package(point)
    for needed in ("prepare", *(["download"] if card.download else [])):
        if not callable(getattr(found, needed, None)):
            raise plugin_error(point, f"it has no function {needed}")
    return cast(SourceModule, found)
