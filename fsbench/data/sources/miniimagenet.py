"""miniImageNet with the split of Ravi and Larochelle (ICLR 2017), from their CSV files and the images that these list.

A line of `train.csv`, `val.csv` or `test.csv` is `n0153282900000005.jpg,n01532829`: a WordNet id and eight digits. The
images are found

- under these names, anywhere in the folder (flat or in class folders) or in the zips that lie in it; or
- in ILSVRC 2012's train folder, `<id>/<id>_<number>.JPEG`. The eight digits count the images of a class there in the
  order of their numbers, from 1: so mini-imagenet-tools and the tools derived from it choose them.

However they lie, an image is called `images/` and its name in the CSV file, so that episodes have one hash everywhere.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fsbench.data.card import Card
from fsbench.data.listing import FileImage, Listing, Reader
from fsbench.data.pack import SPLITS
from fsbench.data.prepared import Prepared
from fsbench.data.sources.ilsvrc_2012 import train_images
from fsbench.data.sources.listed import Splits, arrange, read_lists
from fsbench.errors import DataError
from fsbench.files.reading import read_text

__all__ = ["prepare"]

_LOG = logging.getLogger("fsbench")
_COLUMNS = ["filename", "label"]

_Lines = Mapping[str, list[str]]  # class to the names of its images


def prepare(card: Card, variant: str, size: int, origin: Path) -> Prepared:
    """Read the CSV files, find every image that they list, and make the classes of the split.

    Args:
        card: The card of miniImageNet; the class lists beside it say which split it must be.
        variant: "ravi".
        size: Height and width of the images, pixels.
        origin: A folder with the three CSV files and the images.

    Raises:
        DataNotFoundError: A CSV file is not there, or no images are.
        DataError: A CSV file has another form or another split, or lists an image that is not there.
    """
    splits = read_lists(card.folder / "splits.toml")
    lines: dict[str, list[str]] = {}
    for split in SPLITS:
        path = origin / f"{split}.csv"
        if not path.is_file():
            raise card.not_found(path.name, (origin,))
        found = _read(path)
        _check_split(path, split, found, splits)
        lines |= found
    ilsvrc = train_images(origin)
    if ilsvrc is not None:
        layout, classes = "ILSVRC 2012 train folder", _from_ilsvrc(origin, ilsvrc, lines)
    else:
        layout, classes = "images", _from_images(card, origin, lines)
    _LOG.info("%s: %s images listed, %s in %s", card.name, f"{sum(map(len, lines.values())):,}", layout, origin)
    return arrange(card, variant, size, Listing(classes), splits, layout=layout)


@dataclass(frozen=True, kw_only=True)
class _Listed(FileImage):
    """An image as a CSV file lists it.

    Attributes:
        listed: Its name there.
    """

    listed: str

    @property
    def name(self) -> str:
        return f"images/{self.listed}"


def _read(path: Path) -> dict[str, list[str]]:
    """The images of every class, by name, as a CSV file lists them."""
    try:
        rows = csv.reader(io.StringIO(read_text(path), newline=""))
        head = next(rows, [])
        if head != _COLUMNS:
            raise DataError(f"{path} begins with {','.join(head)!r:.80}, not with 'filename,label'; get a new copy.")
        found: dict[str, list[str]] = {}
        for number, row in enumerate(rows, 2):
            if not row:  # an empty line
                continue
            if len(row) != 2 or not re.fullmatch(re.escape(row[1]) + r"\d{8}\.jpg", row[0]):
                raise DataError(f"{path}, line {number}: {','.join(row)!r:.80} is no image with its class; fix it.")
            found.setdefault(row[1], []).append(row[0])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); get a new copy.") from error
    for name, files in found.items():
        if len(set(files)) != len(files):
            raise DataError(f"{path} lists an image of {name} twice; get a new copy.")
    return {name: sorted(files) for name, files in sorted(found.items())}


def _check_split(path: Path, split: str, found: Iterable[str], splits: Splits) -> None:
    """Refuse a file whose classes are not exactly those of the split."""
    there, wanted = set(found), set(splits[split])
    ravi = {name for names in splits.values() for name in names}
    if strange := sorted(there - ravi):
        raise DataError(
            f"{path} has the class {strange[0]} ({len(strange)} such), which the split of Ravi and Larochelle does not "
            "have. It is another split, as that of Vinyals et al. (2016), whose results are not comparable with those "
            "that papers report; use the CSV files of Ravi and Larochelle."
        )
    for kind, some in (("has a class of another split,", there - wanted), ("lacks", wanted - there)):
        if some:
            raise DataError(f"{path} {kind} {sorted(some)[0]} ({len(some)} such); get a new copy.")


def _from_images(card: Card, origin: Path, lines: _Lines) -> dict[str, list[FileImage]]:
    """The listed images, by name, wherever they lie in the folder or in its zips."""
    places: dict[str, FileImage] = {}
    with Reader() as reader:
        zips = [origin / file for file in reader.tree(origin).files if file.endswith(".zip")]
        for path in [origin, *zips]:
            for file in reader.tree(path).files:
                if file.endswith(".jpg"):
                    listed = PurePosixPath(file).name
                    places.setdefault(listed, _Listed(path, file, listed=listed))
    if not places:
        raise card.not_found("images", (origin,))
    wanted = [file for files in lines.values() for file in files]
    if absent := [file for file in wanted if file not in places]:
        raise DataError(
            f"{origin}: {absent[0]} is listed, but there is no such image ({len(absent):,} of {len(wanted):,} are "
            "absent); add them, or shorten the CSV files to what is there."
        )
    return {name: [places[file] for file in files] for name, files in lines.items()}


def _from_ilsvrc(origin: Path, images: Mapping[str, Sequence[FileImage]], lines: _Lines) -> dict[str, list[FileImage]]:
    """The listed images, by their place among the images of their class."""
    classes: dict[str, list[FileImage]] = {}
    for name, listed in lines.items():
        ordered = sorted(images.get(name, ()), key=lambda image: int(PurePosixPath(image.file).stem.rpartition("_")[2]))
        numbers = {file: int(PurePosixPath(file).stem.removeprefix(name)) for file in listed}
        for number in (min(numbers.values()), max(numbers.values())):
            if not 1 <= number <= len(ordered):
                raise DataError(
                    f"{origin} has {len(ordered)} images of {name}, but number {number} of them is listed; "
                    "it must have the whole class of ILSVRC 2012."
                )
        found = {file: ordered[number - 1] for file, number in numbers.items()}
        classes[name] = [_Listed(image.tree, image.file, listed=file) for file, image in found.items()]
    return classes
