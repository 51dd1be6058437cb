"""What the files of a source hold: the images of every class, named and found but not yet decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fsbench.data.images import Box, decode_image
from fsbench.files.tree import Tree, open_tree

__all__ = ["FileImage", "Hierarchy", "ImageItem", "Listing", "Reader"]


class Reader:
    """Opens every folder and zip once, and closes them all in the end."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._trees: dict[Path, Tree] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def tree(self, path: Path) -> Tree:
        """The folder or zip at a path.

        Raises:
            DataNotFoundError: There is none.
            DataError: It is no complete zip.
        """
        if path not in self._trees:
            self._trees[path] = self._opened.enter_context(open_tree(path))
        return self._trees[path]


class ImageItem(Protocol):
    """One image, wherever it lies; small, and picklable, so that another process can decode it."""

    @property
    def name(self) -> str:
        """What its authors call it, unique within its source."""

    def decode(self, reader: Reader, *, size: int, channels: int) -> npt.NDArray[np.uint8]:
        """The image as uint8 `[channels, size, size]`.

        Raises:
            DataError: It cannot be read or decoded.
        """


@dataclass(frozen=True)
class FileImage:
    """An image file in a folder or zip.

    Attributes:
        tree: The folder or zip.
        file: Its name there.
        box: The part to take, or None for all of it.
    """

    tree: Path
    file: str
    box: Box | None = None

    @property
    def name(self) -> str:
        """The name of the file, and of the box where there is one."""
        return self.file if self.box is None else f"{self.file}@{','.join(map(str, self.box))}"

    def decode(self, reader: Reader, *, size: int, channels: int) -> npt.NDArray[np.uint8]:
        """Read and decode it."""
        content = reader.tree(self.tree).read(self.file)
        return decode_image(content, str(self.tree / self.file), size=size, channels=channels, box=self.box)


@dataclass(frozen=True)
class Hierarchy:
    """How a split's classes are drawn together, for Meta-Dataset's sampling of variable ways and shots.

    Attributes:
        kind: "superclasses", which part the classes (Omniglot's alphabets), or "graph", whose inner nodes
            each reach some of them (ImageNet's WordNet).
        nodes: Split to the class names of every superclass or inner node.
    """

    kind: str
    nodes: Mapping[str, Sequence[Sequence[str]]]

    def renamed(self, name: Callable[[str], str]) -> Hierarchy:
        """The same with other names of its classes."""
        return Hierarchy(
            self.kind, {split: [list(map(name, node)) for node in nodes] for split, nodes in self.nodes.items()}
        )


@dataclass(frozen=True)
class Listing:
    """The images of a source, by class.

    Attributes:
        classes: Class name to its images, in the order in which they are packed.
        promised: How many images the files themselves say there are; None: the card's number counts.
        hierarchy: How classes belong together, if the files say so.
    """

    classes: Mapping[str, Sequence[ImageItem]]
    promised: int | None = None
    hierarchy: Hierarchy | None = None

    def renamed(self, name: Callable[[str], str]) -> Listing:
        """The same with other names of its classes."""
        classes = {name(old): images for old, images in self.classes.items()}
        return Listing(classes, self.promised, self.hierarchy and self.hierarchy.renamed(name))
