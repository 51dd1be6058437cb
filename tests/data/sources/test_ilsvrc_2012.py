from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fsbench.data.card import Card
from fsbench.data.listing import Hierarchy, Listing, Reader
from fsbench.data.sources import ilsvrc_2012, tieredimagenet
from fsbench.errors import DataError
from helpers.small_card import small_card

SPLITS = {"train": ["n00000001", "n00000002"], "val": ["n00000003"], "test": ["n00000004"]}
CLASSES = [name for names in SPLITS.values() for name in names]


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """Four images a class, of which one is left out."""
    card = small_card("ilsvrc_2012", tmp_path / "card", SPLITS, images=15)
    (card.folder / "duplicates.toml").write_text("n00000002 = [30, 77]\n")
    return card


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    origin = tmp_path / "origin"
    for label, wnid in enumerate(CLASSES):
        folder = origin / "train" / wnid
        folder.mkdir(parents=True)
        for number in (4, 30, 200, 1000):
            Image.new("RGB", (20, 10), (60 * label, 0, 0)).save(folder / f"{wnid}_{number}.JPEG")
    return origin


def read(card: Card, origin: Path) -> Listing:
    listing = ilsvrc_2012.original(card, origin)
    assert listing is not None
    return listing


def test_all_images_but_those_that_other_sources_have(card: Card, origin: Path) -> None:
    listing = read(card, origin)
    assert {wnid: len(images) for wnid, images in listing.classes.items()} == dict(
        zip(CLASSES, (4, 3, 4, 4), strict=True)
    )
    assert [image.name for image in listing.classes["n00000002"]] == [
        "n00000002/n00000002_1000.JPEG",
        "n00000002/n00000002_200.JPEG",
        "n00000002/n00000002_4.JPEG",
    ]
    assert listing.hierarchy is None
    with Reader() as reader:
        pixels = listing.classes["n00000003"][0].decode(reader, size=8, channels=3)
    assert pixels[:, 4, 4].tolist() == pytest.approx([120, 0, 0], abs=4)


def test_a_complete_source_is_prepared(card: Card, origin: Path) -> None:
    prepared = ilsvrc_2012.prepare(card, "metadataset", 8, origin)
    assert prepared.partial is None
    assert len(prepared.images) == 15


@pytest.mark.parametrize("place", ["train", "ILSVRC2012_img_train", "ILSVRC/Data/CLS-LOC/train", "."])
def test_every_usual_place_gives_the_same_names(card: Card, origin: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(origin / "train", tmp_path / "other" / place)
    names = [[image.name for image in images] for images in read(card, tmp_path / "other").classes.values()]
    assert names == [[image.name for image in images] for images in read(card, origin).classes.values()]


def test_a_folder_without_the_train_folder_has_none(card: Card, origin: Path, tmp_path: Path) -> None:
    assert ilsvrc_2012.original(card, tmp_path / "nowhere") is None
    for path in (origin / "train").rglob("*.JPEG"):
        path.rename(path.with_suffix(".png"))
    assert ilsvrc_2012.original(card, origin) is None


def test_archives_that_are_not_yet_unpacked_are_no_train_folder(card: Card, tmp_path: Path) -> None:
    (tmp_path / "other" / "train").mkdir(parents=True)
    (tmp_path / "other" / "train" / "n00000001.tar").write_bytes(b"tar")
    assert ilsvrc_2012.original(card, tmp_path / "other") is None


def test_a_missing_class_makes_it_partial(card: Card, origin: Path) -> None:
    shutil.rmtree(origin / "train" / "n00000002")
    prepared = ilsvrc_2012.prepare(card, "metadataset", 8, origin)
    assert prepared.partial == "partial (3 of 4 classes, 4 per class)"


def test_a_class_without_images_is_named(card: Card, origin: Path) -> None:
    for path in (origin / "train" / "n00000003").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="the class 'n00000003' has no image"):
        ilsvrc_2012.prepare(card, "metadataset", 8, origin)


def test_a_truncated_image_is_named(card: Card, origin: Path) -> None:
    path = origin / "train" / "n00000001" / "n00000001_1000.JPEG"
    path.write_bytes(path.read_bytes()[:-50])
    with Reader() as reader, pytest.raises(DataError, match=r"n00000001_1000\.JPEG cannot be decoded"):
        read(card, origin).classes["n00000001"][0].decode(reader, size=8, channels=3)


def test_files_that_are_no_images_of_their_folder_are_passed_over(card: Card, origin: Path) -> None:
    folder = origin / "train" / "n00000001"
    shutil.copy(folder / "n00000001_4.JPEG", folder / "n00000002_4.JPEG")
    (folder / "inner").mkdir()
    shutil.copy(folder / "n00000001_4.JPEG", folder / "inner" / "n00000001_4.JPEG")
    (origin / "train" / "words.txt").write_text("n00000001\tdog")
    assert len(read(card, origin).classes["n00000001"]) == 4


def test_meta_datasets_specification_beside_it_gives_the_hierarchy(card: Card, origin: Path) -> None:
    nodes = {
        "TRAIN": {"n10000000": ["n00000001", "n00000002"], "n00000001": [], "n00000002": []},
        "VALID": {"n20000000": ["n00000003"], "n00000003": []},
        "TEST": {"n00000004": []},
    }
    specification = {
        "__class__": "HierarchicalDatasetSpecification",
        "name": "ilsvrc_2012",
        "split_subgraphs": {
            split: [
                {"wn_id": node, "words": "", "children_ids": children, "parents_ids": []}
                for node, children in graph.items()
            ]
            for split, graph in nodes.items()
        },
        "images_per_class": {split: dict.fromkeys(graph, 4) for split, graph in nodes.items()},
        "class_names": {str(label): name for label, name in enumerate(CLASSES)},
        "path": "",
        "file_pattern": "{}.tfrecords",
    }
    path = origin / "dataset_spec.json"
    path.write_text(json.dumps(specification))
    assert read(card, origin).hierarchy == Hierarchy(
        "graph", {"train": [("n00000001", "n00000002")], "val": [("n00000003",)], "test": []}
    )
    path.write_text(path.read_text()[:-9])
    with pytest.raises(DataError, match=r"dataset_spec\.json is not valid"):
        read(card, origin)


def test_tieredimagenet_has_its_own_classes_with_all_their_images(origin: Path, tmp_path: Path) -> None:
    card = small_card("tieredimagenet", tmp_path / "tiered", {"train": ["n00000004"], "test": ["n00000002"]}, images=8)
    listing = tieredimagenet.original(card, origin)
    assert listing is not None
    assert {wnid: len(images) for wnid, images in listing.classes.items()} == {"n00000002": 4, "n00000004": 4}
    assert tieredimagenet.prepare(card, "ren", 8, origin).partial is None
    assert tieredimagenet.original(card, tmp_path / "nowhere") is None
    for wnid in listing.classes:
        shutil.rmtree(origin / "train" / wnid)
    assert tieredimagenet.original(card, origin) is None
