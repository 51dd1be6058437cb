from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fsbench.data.card import Card
from fsbench.data.listing import Listing, Reader
from fsbench.data.sources import fungi
from fsbench.errors import DataError
from helpers.small_card import small_card

SPLITS = {"train": ["0000.Amanita muscaria"], "val": ["0002.Boletus edulis"], "test": ["0001.Boletus edulis"]}
CATEGORIES = [
    {"id": 2, "name": "Boletus edulis", "supercategory": "Boletus"},
    {"id": 0, "name": "Amanita muscaria", "supercategory": "Amanita"},
    {"id": 1, "name": "Boletus edulis", "supercategory": "Boletus"},
]


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return small_card("fungi", tmp_path / "card", SPLITS, images=12)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Three training images and one validation image of every species; red tells the species."""
    origin = tmp_path / "origin"
    number = 0
    for part, each in (("train", 3), ("val", 1)):
        images, annotations = [], []
        for category in CATEGORIES:
            for _ in range(each):
                number += 1
                file = f"images/{category['supercategory']}/{900 - number}.JPG"
                (origin / file).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 6), (100 * int(category["id"]), 0, 0)).save(origin / file)
                images.append({"id": number, "file_name": file, "width": 8, "height": 6, "license": 1})
                annotations.append({"id": number, "image_id": number, "category_id": category["id"]})
        content = {"info": {}, "images": images, "categories": CATEGORIES, "annotations": annotations, "licenses": []}
        (origin / f"{part}.json").write_text(json.dumps(content))
    return origin


def read(card: Card, origin: Path) -> Listing:
    listing = fungi.original(card, origin)
    assert listing is not None
    return listing


def change(origin: Path, part: str, index: int, **values: Any) -> None:
    """Change an entry of `train.json`."""
    content = json.loads((origin / "train.json").read_text())
    content[part][index] |= values
    (origin / "train.json").write_text(json.dumps(content))


def test_both_parts_are_joined_and_species_of_one_name_kept_apart(card: Card, origin: Path) -> None:
    listing = read(card, origin)
    assert sorted(listing.classes) == ["0000.Amanita muscaria", "0001.Boletus edulis", "0002.Boletus edulis"]
    with Reader() as reader:
        for label, (_, images) in enumerate(sorted(listing.classes.items())):
            assert len(images) == 4
            assert [image.name for image in images] == sorted(image.name for image in images)
            for image in images:
                pixels = image.decode(reader, size=8, channels=3)
                assert pixels[:, 4, 4].tolist() == pytest.approx([100 * label, 0, 0], abs=4)


def test_a_complete_source_is_prepared_with_its_splits(card: Card, origin: Path) -> None:
    prepared = fungi.prepare(card, "metadataset", 8, origin)
    assert prepared.partial is None
    splits = {split: [prepared.classes[label] for label in labels] for split, labels in prepared.splits.items()}
    assert splits == SPLITS


def test_annotations_may_lie_in_the_folder_of_their_archive(card: Card, origin: Path) -> None:
    names = [image.name for images in read(card, origin).classes.values() for image in images]
    (origin / "train_val_annotations").mkdir()
    for part in ("train.json", "val.json"):
        shutil.move(origin / part, origin / "train_val_annotations")
    assert [image.name for images in read(card, origin).classes.values() for image in images] == names


def test_a_folder_without_annotations_has_none(card: Card, origin: Path, tmp_path: Path) -> None:
    (origin / "train.json").unlink()
    assert fungi.original(card, origin) is None
    assert fungi.original(card, tmp_path / "nowhere") is None


def test_a_missing_part_is_named(card: Card, origin: Path) -> None:
    (origin / "val.json").unlink()
    with pytest.raises(DataError, match=r"val\.json cannot be read"):
        read(card, origin)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"has not COCO's form \(Invalid JSON: EOF"),
        ('{"images": [', r"has not COCO's form \(Invalid JSON: EOF"),
        ("[]", "has not COCO's form"),
        ('{"images": [], "categories": []}', r"has not COCO's form \(annotations: Field required\)"),
        ('{"images": [{"id": "x"}], "categories": [], "annotations": []}', r"has not COCO's form \(images\.0\.id: "),
        ('{"images": [], "categories": [], "annotations": []}', None),
    ],
)
def test_annotations_that_are_cut_or_something_else_are_named(
    card: Card, origin: Path, text: str, complaint: str | None
) -> None:
    (origin / "train.json").write_text(text)
    if complaint is None:  # nothing to train on, but every species is in the other part
        assert sum(map(len, read(card, origin).classes.values())) == 3
    else:
        with pytest.raises(DataError, match=rf"train\.json {complaint}"):
            read(card, origin)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [({"image_id": 77}, "names the image 77, which is not there"), ({"category_id": 9}, "names the category 9, which")],
)
def test_an_annotation_of_something_that_is_not_there_is_named(
    card: Card, origin: Path, values: dict[str, int], complaint: str
) -> None:
    change(origin, "annotations", 4, **values)
    with pytest.raises(DataError, match=rf"train\.json: annotation 5 {complaint}"):
        read(card, origin)


def test_an_image_that_is_not_there_is_named(card: Card, origin: Path) -> None:
    (origin / "images" / "Boletus" / "898.JPG").unlink()
    with pytest.raises(DataError, match=r"images/Boletus/898\.JPG of the class '0002.Boletus edulis' is not there"):
        read(card, origin)


@pytest.mark.parametrize("name", ["../secret.JPG", "images/../../secret.JPG", "/etc/passwd"])
def test_a_name_that_points_outside_is_not_followed(card: Card, origin: Path, name: str) -> None:
    shutil.copy(origin / "images" / "Boletus" / "898.JPG", origin.parent / "secret.JPG")
    change(origin, "images", 0, file_name=name)
    with pytest.raises(DataError, match=rf"{name} of the class .* is not there"):
        read(card, origin)


def test_a_missing_species_is_named(card: Card, origin: Path) -> None:
    for index in range(3):
        change(origin, "annotations", index, category_id=0)
    content = json.loads((origin / "val.json").read_text())
    content["annotations"][0]["category_id"] = 0
    (origin / "val.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"classes missing: '0002\.Boletus edulis' \(2 of 3 are there\)"):
        read(card, origin)


def test_an_unreadable_image_is_named(card: Card, origin: Path) -> None:
    image = read(card, origin).classes["0000.Amanita muscaria"][0]
    (origin / image.name).write_bytes(b"no image")
    with Reader() as reader, pytest.raises(DataError, match=rf"{image.name} cannot be decoded"):
        image.decode(reader, size=8, channels=3)
