from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fsbench.data.card import Card
from fsbench.data.listing import Listing, Reader
from fsbench.data.sources import mscoco
from fsbench.errors import DataError, DataNotFoundError
from helpers.small_card import small_card

SPLITS = {"val": ["person"], "test": ["traffic light", "train"]}
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 7, "name": "train"}, {"id": 10, "name": "traffic light"}]
INSTANCES: list[tuple[int, int, int, list[float]]] = [  # id, photograph, category, box
    (31, 2, 1, [20, 10, 30, 20]),
    (12, 2, 1, [20.0, 10.0, 30.0, 20.0]),  # once more
    (40, 1, 1, [0, 0, 60, 40]),
    (41, 1, 7, [50.25, 33.75, 9.5, 5.5]),
    (42, 1, 10, [4.4, 5.6, 0.3, 0.2]),
]


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return small_card("mscoco", tmp_path / "card", SPLITS, images=5)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Two photographs of 60x40 pixels, whose red is four times the column and whose green is six times the row."""
    origin = tmp_path / "origin"
    (origin / "train2017").mkdir(parents=True)
    rows, columns = np.mgrid[:40, :60]
    photograph = np.stack([4 * columns, 6 * rows, 0 * rows], axis=-1).astype(np.uint8)
    for number in (1, 2):
        Image.fromarray(photograph).save(origin / "train2017" / f"{number:012}.jpg", quality=100, subsampling=0)
    content = {
        "info": {"year": 2017},
        "images": [{"id": i, "file_name": f"{i:012}.jpg", "width": 60, "height": 40} for i in (2, 1)],
        "categories": CATEGORIES,
        "annotations": [
            {
                "id": i,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "iscrowd": i % 2,
                "segmentation": [[1, 2]],
            }
            for i, image, category, box in INSTANCES
        ],
    }
    (origin / "annotations").mkdir()
    (origin / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return origin


def read(card: Card, origin: Path) -> Listing:
    listing = mscoco.original(card, origin)
    assert listing is not None
    return listing


def names_of(listing: Listing) -> dict[str, list[str]]:
    return {name: [image.name for image in images] for name, images in listing.classes.items()}


def change(origin: Path, part: str, index: int, **values: Any) -> None:
    path = origin / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content[part][index] |= values
    path.write_text(json.dumps(content))


def test_every_instance_is_an_image_crowds_and_repeated_boxes_too(card: Card, origin: Path) -> None:
    assert names_of(read(card, origin)) == {
        "person": ["000000000001.jpg#40", "000000000002.jpg#12", "000000000002.jpg#31"],
        "train": ["000000000001.jpg#41"],
        "traffic light": ["000000000001.jpg#42"],
    }


def test_a_complete_source_is_prepared_with_its_splits(card: Card, origin: Path) -> None:
    prepared = mscoco.prepare(card, "metadataset", 8, origin)
    assert prepared.partial is None
    splits = {split: [prepared.classes[label] for label in labels] for split, labels in prepared.splits.items()}
    assert splits == {"train": [], **SPLITS}


def test_boxes_are_enlarged_about_their_centre_and_cut_off_at_the_edges(card: Card, origin: Path) -> None:
    boxes = {image.name: vars(image)["box"] for images in read(card, origin).classes.values() for image in images}
    assert boxes == {
        "000000000002.jpg#31": (16, 8, 53, 33),  # 17 to 53 and 8 to 32, less half a pixel, to even; the end is included
        "000000000002.jpg#12": (16, 8, 53, 33),
        "000000000001.jpg#40": (0, 0, 60, 40),
        "000000000001.jpg#41": (49, 33, 60, 40),
        "000000000001.jpg#42": (4, 5, 5, 6),  # never less than a pixel
    }


def test_the_part_in_the_box_is_decoded(card: Card, origin: Path) -> None:
    image = read(card, origin).classes["train"][0]
    assert pickle.loads(pickle.dumps(image)) == image
    with Reader() as reader:
        pixels = image.decode(reader, size=8, channels=3).astype(int)
    assert pixels[0].min() >= 4 * 49 - 6
    assert pixels[1].min() >= 6 * 33 - 6
    assert pixels[0, 0, 7] > pixels[0, 0, 0] + 20


def test_photographs_may_be_zipped_and_annotations_lie_beside_them(
    card: Card, origin: Path, zipped: Callable[[Path], Path]
) -> None:
    names = names_of(read(card, origin))
    shutil.move(origin / "annotations" / "instances_train2017.json", origin)
    zipped(origin / "train2017")
    listing = read(card, origin)
    assert names_of(listing) == names
    with Reader() as reader:
        assert listing.classes["person"][0].decode(reader, size=8, channels=3).shape == (3, 8, 8)


def test_a_truncated_zip_is_named(card: Card, origin: Path, zipped: Callable[[Path], Path]) -> None:
    archive = zipped(origin / "train2017")
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"train2017\.zip .* is no complete zip"):
        read(card, origin)


def test_a_folder_without_annotations_has_none(card: Card, origin: Path, tmp_path: Path) -> None:
    shutil.rmtree(origin / "annotations")
    assert mscoco.original(card, origin) is None
    assert mscoco.original(card, tmp_path / "nowhere") is None


def test_annotations_without_photographs_say_what_is_missing(card: Card, origin: Path) -> None:
    shutil.rmtree(origin / "train2017")
    with pytest.raises(DataNotFoundError, match=r"train2017 is not in .*get train2017\.zip"):
        read(card, origin)


def test_annotations_that_are_cut_are_named(card: Card, origin: Path) -> None:
    path = origin / "annotations" / "instances_train2017.json"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"instances_train2017\.json has not COCO's form \(Invalid JSON: EOF"):
        read(card, origin)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"bbox": [60.6, 10, 5, 5]},
            r"the box \[60\.6, 10\.0, 5\.0, 5\.0\] of annotation 41 lies outside of its 60x40",
        ),
        ({"bbox": [10, 90, 5, 5]}, "of annotation 41 lies outside"),
        ({"bbox": [-30, 5, 10, 10]}, "of annotation 41 lies outside"),
        ({"bbox": [10, 10, -9, 5]}, "of annotation 41 lies outside"),
        ({"bbox": None}, "annotation 41 has no box"),
        ({"bbox": [1, 2, 3]}, r"annotations\.3\.bbox"),
        ({"bbox": [1, 2, 3, float("nan")]}, r"annotations\.3\.bbox\.3: .*finite"),
        ({"image_id": 5}, "annotation 41 names the image 5, which is not there"),
        ({"category_id": 1}, r"classes missing: 'train' \(2 of 3 are there\)"),
    ],
)
def test_an_instance_that_cannot_be_is_named(card: Card, origin: Path, values: dict[str, Any], complaint: str) -> None:
    change(origin, "annotations", 3, **values)
    with pytest.raises(DataError, match=complaint):
        read(card, origin)


def test_a_class_that_no_split_has_is_named(card: Card, origin: Path) -> None:
    change(origin, "categories", 1, name="tram")
    with pytest.raises(DataError, match=r"classes missing: 'train'"):
        read(card, origin)


def test_a_photograph_that_is_not_there_is_named(card: Card, origin: Path) -> None:
    (origin / "train2017" / "000000000002.jpg").unlink()
    with pytest.raises(DataError, match=r"annotation 31 names 000000000002\.jpg, which is not in .*train2017"):
        read(card, origin)


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd"])
def test_a_name_that_points_outside_is_not_followed(card: Card, origin: Path, name: str) -> None:
    shutil.copy(origin / "train2017" / "000000000002.jpg", origin / "secret.jpg")
    change(origin, "images", 0, file_name=name)
    with pytest.raises(DataError, match=rf"annotation 31 names {name}, which is not in"):
        read(card, origin)


def test_an_unreadable_photograph_is_named(card: Card, origin: Path) -> None:
    (origin / "train2017" / "000000000001.jpg").write_bytes(b"no image")
    with Reader() as reader, pytest.raises(DataError, match=r"000000000001\.jpg cannot be decoded"):
        read(card, origin).classes["train"][0].decode(reader, size=8, channels=3)
