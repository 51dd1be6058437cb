from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tfrecord import TFRecordWriter

from fsbench.data.images import decode_image
from fsbench.data.listing import Hierarchy, Reader
from fsbench.data.sources.tfrecords import RecordImage, records_listing
from fsbench.errors import DataError

COUNTS = (3, 1, 2)


def jpeg(label: int, number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), (80 * label, 80 * number, 0)).save(stream, "JPEG")
    return stream.getvalue()


def write(path: Path, *data: dict[str, tuple[Any, str]]) -> None:
    writer = TFRecordWriter(str(path))
    for datum in data:
        writer.write(datum)
    writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records of three classes of one superclass."""
    stored = {
        "name": "colours",
        "superclasses_per_split": {"TRAIN": 0, "VALID": 0, "TEST": 1},
        "classes_per_superclass": {"0": 3},
        "images_per_class": {str(label): count for label, count in enumerate(COUNTS)},
        "superclass_names": {"0": "colour"},
        "class_names": {"0": "red", "1": "green", "2": "blue"},
        "path": "/path/to/records",
        "file_pattern": "{}.tfrecords",
        "__class__": "BiLevelDatasetSpecification",
    }
    (tmp_path / "dataset_spec.json").write_text(json.dumps(stored))
    for label, count in enumerate(COUNTS):
        images = [{"image": (jpeg(label, n), "byte"), "label": (label, "int")} for n in range(count)]
        write(tmp_path / f"{label}.tfrecords", *images)
    return tmp_path


def decode_all(folder: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    listing = records_listing(folder)
    assert listing is not None
    with Reader() as reader:
        return [image.decode(reader, size=8, channels=3) for images in listing.classes.values() for image in images]


def test_classes_and_images_come_in_the_order_of_ids_and_records(folder: Path) -> None:
    listing = records_listing(folder)
    assert listing is not None
    assert listing.promised == 6
    assert listing.hierarchy == Hierarchy("superclasses", {"train": [], "val": [], "test": [("red", "green", "blue")]})
    assert {name: [image.name for image in images] for name, images in listing.classes.items()} == {
        "red": ["0/0", "0/1", "0/2"],
        "green": ["1/0"],
        "blue": ["2/0", "2/1"],
    }
    written = [
        decode_image(jpeg(label, n), "it", size=8, channels=3) for label in range(3) for n in range(COUNTS[label])
    ]
    assert np.array_equal(decode_all(folder), written)


def test_the_images_of_a_class_are_a_sequence(folder: Path) -> None:
    listing = records_listing(folder)
    assert listing is not None
    red = listing.classes["red"]
    assert len(red) == 3
    assert red[-1] == red[2] == list(red)[2]
    assert list(red[::2]) == [red[0], red[2]]
    with pytest.raises(IndexError):
        red[3]


def test_an_image_can_be_decoded_by_another_process(folder: Path) -> None:
    listing = records_listing(folder)
    assert listing is not None
    image = pickle.loads(pickle.dumps(listing.classes["red"][1]))
    assert image == listing.classes["red"][1]
    assert type(image.offset) is int
    with Reader() as reader:
        assert image.decode(reader, size=8, channels=1).shape == (1, 8, 8)


def test_a_folder_without_a_specification_has_no_records(folder: Path) -> None:
    (folder / "dataset_spec.json").unlink()
    assert records_listing(folder) is None
    assert records_listing(folder / "0.tfrecords") is None
    assert records_listing(folder / "absent") is None


def test_a_class_without_its_file_is_left_out(folder: Path) -> None:
    (folder / "1.tfrecords").unlink()
    listing = records_listing(folder)
    assert listing is not None
    assert list(listing.classes) == ["red", "blue"]
    assert listing.promised == 6


def test_a_specification_alone_is_no_source(folder: Path) -> None:
    for label in range(3):
        (folder / f"{label}.tfrecords").unlink()
    assert records_listing(folder) is None


@pytest.mark.parametrize("count", [0, 2, 4])
def test_another_number_of_records_is_refused(folder: Path, count: int) -> None:
    write(folder / "0.tfrecords", *[{"image": (b"", "byte")}] * count)
    with pytest.raises(DataError, match=rf"0\.tfrecords has {count} records instead of the 3 that dataset_spec\.json"):
        records_listing(folder)


def test_a_cut_file_is_refused(folder: Path) -> None:
    path = folder / "2.tfrecords"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"2\.tfrecords: the record at byte \d+ is cut off"):
        records_listing(folder)


def test_a_damaged_image_is_found_when_it_is_read(folder: Path) -> None:
    path = folder / "2.tfrecords"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"2\.tfrecords: the record at byte 0 does not match its checksum"):
        decode_all(folder)


@pytest.mark.parametrize(
    ("datum", "complaint"),
    [
        ({"image": (jpeg(1, 0), "byte"), "label": (2, "int")}, r"has the label \[2\] instead of \[1\]"),
        ({"image": (jpeg(1, 0), "byte"), "label": ([1, 1], "int")}, r"has the label \[1, 1\] instead of \[1\]"),
        ({"image": (jpeg(1, 0), "byte")}, r"has the label \[\] instead of \[1\]"),
        ({"label": (1, "int")}, r"has no single image among its features \(label\)"),
        ({}, r"has no single image among its features \(none\)"),
        (
            {"image": ([b"a", b"b"], "byte"), "label": (1, "int")},
            r"has no single image among its features \(image, label\)",
        ),
        ({"image": (5, "int"), "label": (1, "int")}, "has no single image"),
        ({"image": (b"no JPEG", "byte"), "label": (1, "int")}, "cannot be decoded as an image"),
    ],
)
def test_a_record_that_is_no_image_of_its_class_is_named(
    folder: Path, datum: dict[str, tuple[Any, str]], complaint: str
) -> None:
    write(folder / "1.tfrecords", datum)
    with pytest.raises(DataError, match=rf"1\.tfrecords, record 0 at byte 12, {complaint}"):
        decode_all(folder)


def test_a_record_that_is_no_example_is_named(folder: Path) -> None:
    payload = b"\x0a\x05abc"
    path = folder / "1.tfrecords"
    path.write_bytes(bytes(12) + payload + TFRecordWriter.masked_crc(payload))
    with Reader() as reader, pytest.raises(DataError, match=r"record 0 at byte 12, is no tf\.train\.Example"):
        RecordImage(path, 1, 0, 12, len(payload)).decode(reader, size=8, channels=3)
