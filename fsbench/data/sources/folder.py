"""The user's own images: any folder or zip of class folders."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from fsbench.data.images import RESAMPLING, decoder_versions
from fsbench.data.listing import FileImage
from fsbench.data.pack import SPLITS
from fsbench.data.prepared import Prepared
from fsbench.errors import DataError, DataNotFoundError, UsageError
from fsbench.files.atomic import sha256_json
from fsbench.files.reading import read_text
from fsbench.files.toml import parse_toml
from fsbench.files.tree import Tree, open_tree

__all__ = ["OwnSource", "SplitRule", "class_folders", "prepare", "read_rule"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".gif", ".webp")
_LOG = logging.getLogger("fsbench")


@dataclass(frozen=True)
class SplitRule:
    """How classes come to their splits: by a list, or drawn.

    Attributes:
        listed: Split to the names of its classes; None: drawn.
        fractions: The parts for train, val and test when drawn.
        seed: Draws them.
    """

    listed: Mapping[str, Sequence[str]] | None
    fractions: tuple[float, float, float]
    seed: int

    @property
    def description(self) -> dict[str, Any]:
        """What identifies the rule, for the pack."""
        if self.listed is not None:
            return {"listed": sha256_json(self.listed)}
        return {"fractions": list(self.fractions), "seed": self.seed}

    def apply(self, classes: Sequence[str]) -> dict[str, list[int]]:
        """The labels of every split's classes, ascending.

        A draw sorts the classes by a hash of seed and name: it is the same on every machine, and a class that is
        added later hardly moves the others.

        Raises:
            UsageError: A listed class does not exist, a class is in no split, or a fraction gets no class.
        """
        if self.listed is None:
            order = sorted(range(len(classes)), key=lambda label: _draw(self.seed, classes[label]))
            ends = [round(part * len(classes)) for part in itertools.accumulate(self.fractions)]
            drawn = {
                split: sorted(order[start:end]) for split, start, end in zip(SPLITS, [0, *ends], ends, strict=False)
            }
            for split, part in zip(SPLITS, self.fractions, strict=True):
                if part > 0 and not drawn[split]:
                    parts = sum(part > 0 for part in self.fractions)
                    cure = "raise its fraction" if len(classes) >= parts else f"{parts} splits need {parts} classes"
                    raise UsageError(f"{part:g} of {len(classes)} classes leaves none for {split}; {cure}.")
            return drawn
        labels = {name: label for label, name in enumerate(classes)}
        members = [name for names in self.listed.values() for name in names]
        for name in members:
            if name not in labels:
                near = get_close_matches(name, classes, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "correct the split list."
                raise UsageError(f"the split list names the class {name!r}, which has no folder; {hint}")
        if rest := sorted(set(classes) - set(members)):
            raise UsageError(f"the class {rest[0]!r} is in no split ({len(rest)} such); add it to the split list.")
        return {split: sorted(labels[name] for name in self.listed.get(split, ())) for split in SPLITS}


@dataclass(frozen=True, kw_only=True)
class OwnSource:
    """How a source of the user's own is made of a folder or zip of class folders.

    Attributes:
        splits: A JSON or TOML file `{"train": [classes], "val": [...], "test": [...]}`; None: drawn by `fractions`.
        fractions: The parts of the classes for train, val and test; they add up to 1.
        seed: Draws the classes of the splits.
        size: Height and width of the images, pixels.
        channels: 1 (grey) or 3 (RGB).
        skip_unreadable: Leave out, list and count unreadable images instead of stopping at the first.
    """

    splits: Path | None = None
    fractions: tuple[float, float, float] = (0.64, 0.16, 0.2)
    seed: int = 0
    size: int = 84
    channels: int = 3
    skip_unreadable: bool = False

    def settings(self, rule: SplitRule) -> dict[str, Any]:
        """What tells its pack from one of the same images that was made in another way."""
        return {"size": self.size, "channels": self.channels, "split": rule.description}


def read_rule(path: Path | None, fractions: tuple[float, float, float], seed: int) -> SplitRule:
    """Read a split list, or check the fractions that are used without one.

    Args:
        path: A JSON or TOML file `{"train": [classes], "val": [...], "test": [...]}`; a split may be absent.
        fractions: The parts of the classes for train, val and test.
        seed: Draws the classes when there is no list.

    Raises:
        UsageError: The file is no such list or has a class twice, or the fractions do not add up to 1.
    """
    if path is None:
        if not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6):
            raise UsageError(f"the fractions {', '.join(f'{part:g}' for part in fractions)} do not add up to 1.")
        return SplitRule(None, fractions, seed)
    try:
        text = read_text(path)
        content = parse_toml(text) if path.suffix == ".toml" else json.loads(text)
        sha256_json(content)  # which must be possible: JSON can hold halves of letters
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"the split list {path} cannot be read ({error}); it is a JSON or TOML file.") from error
    if not isinstance(content, dict) or not content or not set(content) <= set(SPLITS):
        raise UsageError(f"the split list {path} must map {', '.join(SPLITS)}, and nothing else, to lists of classes.")
    split_of: dict[str, str] = {}
    for split, names in content.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"{split} in the split list {path} is not a list of class names.")
        for name in names:
            if name in split_of:
                places = f"in {split_of[name]} and {split}" if split_of[name] != split else f"twice in {split}"
                raise UsageError(f"the class {name!r} is {places} in the split list {path}; a class has one place.")
            split_of[name] = split
    return SplitRule(content, fractions, seed)


def prepare(origin: Path, own: OwnSource, rule: SplitRule) -> Prepared:
    """List all images, in the order of their names.

    Args:
        origin: The folder or zip.
        own: How the source is made.
        rule: How classes come to their splits, as `read_rule` reads it for `own`.

    Raises:
        UsageError: The classes do not fit the split list or the fractions.
        DataNotFoundError: There is nothing at `origin`, or there are no class folders in it.
        DataError: The zip is unreadable, or a class is empty.
    """
    with open_tree(origin) as tree:
        classes = class_folders(tree)
    splits = rule.apply(list(classes))
    _LOG.info("reading %s images of %s classes from %s", f"{sum(map(len, classes.values())):,}", len(classes), origin)
    processing = {
        **own.settings(rule),
        "resampling": RESAMPLING,
        "skipped": [],
        "decoders": decoder_versions("libjpeg_turbo", "webp"),
    }
    return Prepared.of_items(
        {name: [FileImage(origin, file) for file in files] for name, files in classes.items()},
        splits,
        processing,
        size=own.size,
        channels=own.channels,
        skip_unreadable=own.skip_unreadable,
        otherwise="or leave such images out by --skip-unreadable",
    )


def class_folders(tree: Tree) -> dict[str, list[str]]:
    """The images of every class, both in the order of their names.

    A class is a folder with images. It is called by its path below the folder that all classes share: `robin`, or
    `Greek/character01` where there are several such parents.

    Raises:
        DataNotFoundError: There are no class folders.
        DataError: A folder is empty, or images lie beside folders of images.
    """
    found: dict[PurePosixPath, list[str]] = {}
    for file in tree.files:
        if file.lower().endswith(_SUFFIXES):
            found.setdefault(PurePosixPath(file).parent, []).append(file)
    parents = {PurePosixPath(folder).parent for folder in tree.folders}
    for folder in map(PurePosixPath, tree.folders):
        if folder not in found and folder not in parents:
            raise DataError(f"{tree.path}: the folder {folder} has no images; remove it.")
    for folder in found:
        for parent in folder.parents:
            if parent in found:
                raise DataError(f"{tree.path / found[parent][0]} lies beside class folders; move it into one.")
    if not found or PurePosixPath() in found:
        raise DataNotFoundError(
            f"{tree.path} has no class folders; it needs a folder of images ({', '.join(_SUFFIXES)}) for every class."
        )
    shared = min((folder.parent for folder in found), key=lambda folder: len(folder.parts))
    while not all(folder.is_relative_to(shared) for folder in found):
        shared = shared.parent
    classes = {folder.relative_to(shared).as_posix(): files for folder, files in found.items()}
    return {name: sorted(classes[name]) for name in sorted(classes)}


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
