"""From a listing of a source's images to a pack: what all sources of natural images have in common.

Such a source is prepared from any of: Meta-Dataset's TFRecords, its authors' own files, or a folder or zip of class
folders named as in the split lists, even if only a part of the classes or images is there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fsbench.data.card import BySplit, Card, read_toml
from fsbench.data.images import RESAMPLING, decoder_versions
from fsbench.data.listing import FileImage, ImageItem, Listing
from fsbench.data.pack import SPLITS
from fsbench.data.prepared import Prepared
from fsbench.data.sources.folder import class_folders
from fsbench.data.sources.tfrecords import records_listing
from fsbench.errors import DataError
from fsbench.files.tree import open_tree

__all__ = ["Original", "Splits", "arrange", "listed_source", "read_lists"]

_LOG = logging.getLogger("fsbench")
Original: TypeAlias = Callable[[Card, Path], Listing | None]  # the authors' layout in a folder; None: it is not there
_Prepare: TypeAlias = Callable[[Card, str, int, Path], Prepared]
Splits: TypeAlias = Mapping[str, Sequence[str]]  # split to the names of its classes


def listed_source(original: Original, *, by_number: bool = False) -> _Prepare:
    """The `prepare` of a source module.

    Args:
        original: Reads the authors' layout.
        by_number: Meta-Dataset's records call a class by the number that its name starts with.
    """

    def prepare(card: Card, variant: str, size: int, origin: Path) -> Prepared:
        splits = read_lists(card.folder / "splits.toml")
        layouts: dict[str, Callable[[], Listing | None]] = {
            "TFRecords": lambda: _records(origin, splits, by_number),
            "authors' files": lambda: original(card, origin) if origin.is_dir() else None,
            "class folders": lambda: _class_folders(card, origin, splits),
        }
        for layout, read in layouts.items():
            listing = read()
            if listing is not None:
                _LOG.info("%s: %s in %s", card.name, layout, origin)
                return arrange(card, variant, size, listing, splits, layout=layout)
        raise card.not_found(card.files[0], (origin,))

    return prepare


def read_lists(path: Path) -> dict[str, list[str]]:
    """The split lists beside a card: split to the names of its classes.

    Raises:
        DataError: They cannot be read.
    """
    return dict(read_toml(path, BySplit[list[str]]))


def arrange(card: Card, variant: str, size: int, listing: Listing, splits: Splits, *, layout: str) -> Prepared:
    """Compare a listing with what there must be, and say where every image goes.

    Classes are packed in the order of their names. What is missing of the source stands in `Prepared.partial`.

    Args:
        card: Of the source.
        variant: The name of the variant.
        size: Height and width of the images, pixels.
        listing: What is there.
        splits: The classes that there must be.
        layout: In what form the files are, for the pack.

    Raises:
        DataError: The listing has a class that no split has, or a class without images.
    """
    known = [name for names in splits.values() for name in names]
    for name, items in listing.classes.items():
        if name not in set(known):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "remove it."
            raise DataError(f"{card.name}: the class {name!r} is in no split; {hint}")
        if not items:
            raise DataError(f"{card.name}: the class {name!r} has no image; remove its folder, or fix it.")
    kept = {name: _spaced(listing.classes[name], card.most) for name in sorted(listing.classes)}
    label = {name: index for index, name in enumerate(kept)}
    members = {split: [name for name in sorted(splits[split]) if name in label] for split in SPLITS}
    full = card.variant(variant).images if listing.promised is None else listing.promised
    prepared = Prepared.of_items(
        kept,
        {split: [label[name] for name in members[split]] for split in SPLITS},
        {
            "variant": variant,
            "layout": layout,
            "size": size,
            "channels": card.channels,
            "resampling": RESAMPLING,
            "decoders": decoder_versions("libjpeg_turbo"),
        },
        size=size,
        channels=card.channels,
    )
    whole = len(prepared.labels) == full and len(kept) == len(known)
    return replace(
        prepared,
        partial=None if whole else _partial({name: len(items) for name, items in kept.items()}, members, len(known)),
        tracks=_tracks(card.track, prepared.labels.tolist(), prepared.names),
        hierarchy=listing.hierarchy,
    )


def _records(origin: Path, splits: Splits, by_number: bool) -> Listing | None:
    """Meta-Dataset's records, under the names of the split lists."""
    listing = records_listing(origin)
    if listing is None or not by_number:
        return listing
    named = {str(int(name.partition(".")[0])): name for names in splits.values() for name in names}
    return listing.renamed(lambda number: named.get(number, number))


def _class_folders(card: Card, origin: Path, splits: Splits) -> Listing | None:
    """Class folders named as in the split lists; a "/" in the name of a class is a "_" in that of its folder."""
    if not origin.exists():
        return None
    named = {name.replace("/", "_"): name for names in splits.values() for name in names}
    with open_tree(origin) as tree:
        if not any(PurePosixPath(folder).name in named for folder in tree.folders):
            return None
        folders = class_folders(tree)
    return Listing({named.get(name, name): [FileImage(origin, f) for f in files] for name, files in folders.items()})


def _spaced(items: Sequence[ImageItem], most: int | None) -> Sequence[ImageItem]:
    """At most so many of them, evenly spaced."""
    if most is None or len(items) <= most:
        return items
    return [items[index * len(items) // most] for index in range(most)]


def _partial(counts: Mapping[str, int], members: Splits, known: int) -> str:
    """What is there of an incomplete source, e.g. "partial (10 of 47 classes, 120 per class)"."""
    by_split = {split: sorted({counts[name] for name in names}) for split, names in members.items() if names}
    if len(set(counts.values())) == 1:
        images = f"{next(iter(counts.values()))}"
    elif all(len(found) == 1 for found in by_split.values()):
        images = ", ".join(f"{split} {found[0]}" for split, found in by_split.items())
    else:
        images = f"{min(counts.values())}–{max(counts.values())}"
    classes = "" if len(counts) == known else f"{len(counts)} of {known} classes, "
    return f"partial ({classes}{images} per class)"


def _tracks(pattern: str, labels: Sequence[int], names: Sequence[str]) -> list[int] | None:
    """The number of every image's track; None if the card or the names say nothing of it."""
    matches = [re.search(pattern, PurePosixPath(name).name) for name in names] if pattern else []
    if not matches or None in matches:
        return None
    numbers: dict[tuple[int, str], int] = {}
    found = zip(labels, matches, strict=True)
    return [numbers.setdefault((label, match[1]), len(numbers)) for label, match in found if match]
