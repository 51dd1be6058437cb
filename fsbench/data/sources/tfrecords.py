"""A source in Meta-Dataset's own form: a folder with `dataset_spec.json` and a TFRecord file for every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from fsbench.data.images import decode_image
from fsbench.data.listing import Listing, Reader
from fsbench.data.specification import read_specification
from fsbench.data.tfrecords import index_records, parse_example, read_record
from fsbench.errors import DataError

__all__ = ["RecordImage", "records_listing"]

_SPECIFICATION = "dataset_spec.json"


def records_listing(origin: Path) -> Listing | None:
    """The images of a source of records; a class whose file is not there is left out.

    Args:
        origin: The folder.

    Returns:
        The listing, classes in the order of their ids; None if `origin` has no `dataset_spec.json` or no records.

    Raises:
        DataError: The specification is not valid, a file is cut or its records' lengths are damaged, or it has more
            or fewer records than the specification says.
    """
    if not (origin / _SPECIFICATION).is_file():
        return None
    specification = read_specification(origin / _SPECIFICATION)
    classes: dict[str, _Records] = {}
    for label, name in enumerate(specification.classes):
        path = origin / specification.file_pattern.format(label)
        if path.exists():
            found, promised = index_records(path), specification.images_per_class[label]
            if len(found) != promised:
                raise DataError(
                    f"{path} has {len(found):,} records instead of the {promised:,} that {_SPECIFICATION} promises; "
                    "get a new copy of both."
                )
            classes[name] = _Records(path, label, np.array(found, dtype=np.int64))
    if not classes:  # the specification alone lies beside the authors' files
        return None
    return Listing(classes, sum(specification.images_per_class), specification.hierarchy)


@dataclass(frozen=True)
class RecordImage:
    """An image in a TFRecord file.

    Attributes:
        path: The file.
        label: The id of its class.
        number: Which record of the file it is, from 0.
        offset: Where its payload begins, bytes.
        length: The length of its payload, bytes.
    """

    path: Path
    label: int
    number: int
    offset: int
    length: int

    @property
    def name(self) -> str:
        """The id of its class and its number, as records have no names."""
        return f"{self.label}/{self.number}"

    def decode(self, reader: Reader, *, size: int, channels: int) -> npt.NDArray[np.uint8]:
        """Read and decode it; the file is opened for that alone, which costs little beside the decoding."""
        place = f"{self.path}, record {self.number:,} at byte {self.offset:,},"
        example = parse_example(read_record(self.path, self.offset, self.length), place)
        images, labels = example.get("image", []), example.get("label", [])
        if len(images) != 1 or not isinstance(images[0], bytes):
            features = ", ".join(sorted(example)) or "none"
            raise DataError(f"{place} has no single image among its features ({features}); get a new copy of it.")
        if labels != [self.label]:
            raise DataError(f"{place} has the label {labels} instead of [{self.label}]; get a new copy of it.")
        return decode_image(images[0], place, size=size, channels=channels)


@dataclass(frozen=True, eq=False)
class _Records(Sequence[RecordImage]):
    """The images of a class, made when asked for: Quick Draw has fifty million of them.

    Attributes:
        path: The file.
        label: The id of the class.
        places: Offset and length of every payload, int64 `[records, 2]`.
    """

    path: Path
    label: int
    places: npt.NDArray[np.int64]

    @overload
    def __getitem__(self, index: int) -> RecordImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordImage]: ...
    def __getitem__(self, index: int | slice) -> RecordImage | Sequence[RecordImage]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        offset, length = self.places[numbers].tolist()
        return RecordImage(self.path, self.label, numbers, offset, length)

    def __len__(self) -> int:
        return len(self.places)
