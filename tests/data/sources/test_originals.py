"""Sources of natural images from their authors' own layouts: Aircraft, Birds, Textures, VGG Flower, Traffic Signs."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import shutil
import socket
import sys
import types
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from fsbench.data.card import Card, load_card
from fsbench.data.listing import Listing, Reader
from fsbench.data.prepared import Prepared
from fsbench.data.sources import vgg_flower
from fsbench.data.sources.listed import read_lists
from fsbench.errors import DataError

Splits = Mapping[str, list[str]]

SPLITS: dict[str, Splits] = {
    "aircraft": {"train": ["737-200"], "val": ["F-16A/B"], "test": ["Hawk T1"]},
    "cu_birds": {"train": ["001.Black_footed_Albatross"], "val": ["002.Laysan_Albatross"], "test": ["003.Ani"]},
    "dtd": {"train": ["blotchy"], "val": ["gauzy"], "test": ["banded"]},
    "vgg_flower": {"train": ["001.pink primrose"], "val": ["003.colt's foot"], "test": ["002.bird of paradise"]},
    "traffic_sign": {"train": [], "val": [], "test": ["00.Speed limit (20km/h)", "01.Beware of ice/snow"]},
}
COUNTS = {"aircraft": 100, "cu_birds": 4, "dtd": 120, "vgg_flower": 4, "traffic_sign": 60}  # of every class
LISTED = tuple(name for name in SPLITS if name != "traffic_sign")  # the files say what classes there are


def picture(label: int, suffix: str = ".jpg") -> bytes:
    """An image of 12x8 pixels whose red tells its class, with one white pixel in the lower right corner."""
    image = Image.new("RGB", (12, 8), (60 * label, 0, 0))
    image.putpixel((11, 7), (255, 255, 255))
    stream = io.BytesIO()
    image.save(stream, {".jpg": "JPEG", ".ppm": "PPM"}[suffix])
    return stream.getvalue()


def write_aircraft(root: Path, classes: list[str]) -> None:
    data = root / "data"
    (data / "images").mkdir(parents=True)
    (data / "variants.txt").write_text("".join(f"{name}\n" for name in classes))
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(classes):
        for number in range(100):
            (data / "images" / f"{label}{number:06}.jpg").write_bytes(picture(label))
            lists["train" if number < 34 else "val" if number < 67 else "test"].append(f"{label}{number:06} {name}\n")
    for split, lines in lists.items():
        (data / f"images_variant_{split}.txt").write_text("".join(reversed(lines)))
    boxes = [f"{line.split()[0]} 3 2 10 6\n" for lines in lists.values() for line in lines]
    (data / "images_box.txt").write_text("".join(boxes))


def write_birds(root: Path, classes: list[str]) -> None:
    lines: list[str] = []
    for label, name in enumerate(classes):
        (root / "images" / name).mkdir(parents=True)
        for number in range(4):
            (root / "images" / name / f"Bird_{number}.jpg").write_bytes(picture(label))
            lines.append(f"{len(lines) + 1} {name}/Bird_{number}.jpg\n")
    (root / "images.txt").write_text("".join(lines))


def write_textures(root: Path, classes: list[str]) -> None:
    (root / "labels").mkdir(parents=True)
    lists: list[list[str]] = [[], [], []]
    for label, name in enumerate(classes):
        (root / "images" / name).mkdir(parents=True)
        for number in range(120):
            (root / "images" / name / f"{name}_{number:04}.jpg").write_bytes(picture(label))
            lists[number % 3].append(f"{name}/{name}_{number:04}.jpg\n")
    for split, lines in zip(("train", "val", "test"), lists, strict=True):
        (root / "labels" / f"{split}1.txt").write_text("".join(lines))


def write_flowers(root: Path, classes: list[str]) -> None:
    (root / "jpg").mkdir(parents=True)
    labels = [label % len(classes) + 1 for label in range(4 * len(classes))]
    for number, label in enumerate(labels, 1):
        (root / "jpg" / f"image_{number:05}.jpg").write_bytes(picture(label - 1))
    savemat(root / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})


def write_signs(root: Path, classes: list[str]) -> None:
    for label, _ in enumerate(classes):
        folder = root / f"{label:05}"
        folder.mkdir(parents=True)
        lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
        for track in range(2):
            for frame in range(30):
                (folder / f"{track:05}_{frame:05}.ppm").write_bytes(picture(label, ".ppm"))
                lines.append(f"{track:05}_{frame:05}.ppm;12;8;1;1;11;7;{label}")
        (folder / f"GT-{label:05}.csv").write_text("\r\n".join(lines) + "\r\n")


WRITE: dict[str, tuple[str, Callable[[Path, list[str]], None]]] = {  # where the archive unpacks to, and what is there
    "aircraft": ("fgvc-aircraft-2013b", write_aircraft),
    "cu_birds": ("CUB_200_2011", write_birds),
    "dtd": ("dtd", write_textures),
    "vgg_flower": ("", write_flowers),
    "traffic_sign": ("GTSRB/Final_Training/Images", write_signs),
}


class Source:
    """A source with a few classes.

    Attributes:
        card: The card as shipped, but beside the split lists of these classes and with their number of images.
        origin: Where its files are.
        root: The part of it that the archive of the authors holds.
    """

    def __init__(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module: Any = importlib.import_module(f"fsbench.data.sources.{name}")
        self.classes = sorted(member for members in SPLITS[name].values() for member in members)
        self.origin = folder / "origin"
        place, write = WRITE[name]
        self.root = self.origin / place
        write(self.root, self.classes)
        shipped = load_card(name)
        variant = shipped.variants[0].model_copy(update={"images": COUNTS[name] * len(self.classes)})
        self.card: Card = shipped.model_copy(update={"folder": folder / "card", "variants": (variant,)})
        self.split(SPLITS[name])
        if name == "vgg_flower":
            digest = hashlib.sha256((self.root / "imagelabels.mat").read_bytes()).hexdigest()
            monkeypatch.setattr(vgg_flower, "LABELS_SHA256", digest)

    def split(self, splits: Splits) -> None:
        """Write other split lists."""
        self.card.folder.mkdir(exist_ok=True)
        lines = [f"{split} = {json.dumps(names)}\n" for split, names in splits.items()]
        (self.card.folder / "splits.toml").write_text("".join(lines))

    def read(self, origin: Path | None = None) -> Listing:
        """The listing of a folder that has the authors' layout."""
        listing = self.module.original(self.card, self.origin if origin is None else origin)
        assert isinstance(listing, Listing)
        return listing

    def prepare(self) -> Prepared:
        prepared = self.module.prepare(self.card, "metadataset", 8, self.origin)
        assert isinstance(prepared, Prepared)
        return prepared

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a list."""
        text = (self.root / file).read_text()
        assert old in text
        (self.root / file).write_text(text.replace(old, new))


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(request.param, tmp_path, monkeypatch)


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("source", names, indirect=True)


def names_of(listing: Listing) -> dict[str, list[str]]:
    return {name: [item.name for item in items] for name, items in listing.classes.items()}


@each(*SPLITS)
def test_the_images_of_every_class_in_the_order_of_their_names(source: Source) -> None:
    listing = source.read()
    assert set(listing.classes) == set(source.classes)
    with Reader() as reader:
        for label, name in enumerate(source.classes):
            items = listing.classes[name]
            assert len(items) == COUNTS[source.card.name]
            assert [item.name for item in items] == sorted(item.name for item in items)
            pixels = items[-1].decode(reader, size=8, channels=3)
            assert pixels[:, 0, 0].astype(int) == pytest.approx([60 * label, 0, 0], abs=4)


@each(*SPLITS)
def test_a_complete_source_is_prepared_with_its_splits(source: Source) -> None:
    prepared = source.prepare()
    assert prepared.classes == source.classes
    assert prepared.partial is None
    splits = {split: [prepared.classes[label] for label in labels] for split, labels in prepared.splits.items()}
    assert splits == SPLITS[source.card.name]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("aircraft", ""),
        ("aircraft", "fgvc-aircraft-2013b"),
        ("cu_birds", ""),
        ("dtd", ""),
        ("dtd", "dtd/dtd"),
        ("vgg_flower", "flowers-102"),
        ("traffic_sign", "Final_Training/Images"),
        ("traffic_sign", "Training"),
        ("traffic_sign", "GTSRB/Training"),
        ("traffic_sign", "gtsrb/GTSRB/Training"),
    ],
    indirect=["source"],
)
def test_every_usual_place_gives_the_same_names(source: Source, place: str, tmp_path: Path) -> None:
    shutil.copytree(source.root, tmp_path / "other" / place)
    assert names_of(source.read(tmp_path / "other")) == names_of(source.read())


@each(*SPLITS)
def test_a_folder_without_the_authors_layout_has_none(source: Source, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "images" / source.classes[0].replace("/", "_")).mkdir(parents=True)
    assert source.module.original(source.card, other) is None
    assert source.module.original(source.card, tmp_path / "nowhere") is None


@each(*SPLITS)
def test_an_image_that_a_list_names_but_that_is_not_there(source: Source) -> None:
    file = sorted(file for file in source.root.rglob("*") if file.suffix in (".jpg", ".ppm"))[1]
    file.unlink()
    with pytest.raises(DataError, match=rf"{file.name} of the class .* is not there \(1 of its \d+ images are not\)"):
        source.read()


@each(*SPLITS)
def test_a_truncated_image_is_named(source: Source) -> None:
    file = max(file for file in source.root.rglob("*") if file.suffix in (".jpg", ".ppm"))
    file.write_bytes(file.read_bytes()[:-60])
    items = [item for items in source.read().classes.values() for item in items if file.name in item.name]
    with Reader() as reader, pytest.raises(DataError, match=rf"{file.name} cannot be decoded"):
        items[-1].decode(reader, size=8, channels=3)


@each(*LISTED)
def test_a_class_that_the_lists_do_not_name(source: Source) -> None:
    source.split({**SPLITS[source.card.name], "train": [*SPLITS[source.card.name]["train"], "101.absent"]})
    with pytest.raises(DataError, match=r"classes missing: '101\.absent' \(3 of 4 are there\)"):
        source.read()


@each(*LISTED)
def test_a_class_that_no_split_has(source: Source) -> None:
    source.split({**SPLITS[source.card.name], "test": []})
    with pytest.raises(DataError, match=r"classes not expected: .* \(2 of 2 are there\)"):
        source.read()


@each("traffic_sign")
def test_a_class_of_signs_without_its_folder(source: Source) -> None:
    shutil.rmtree(source.root / "00001")
    with pytest.raises(DataError, match=r"00001/GT-00001\.csv cannot be read"):
        source.read()


LISTS = {
    "aircraft": ["data/images_box.txt", "data/images_variant_val.txt"],
    "cu_birds": ["images.txt"],
    "dtd": ["labels/val1.txt"],
    "traffic_sign": ["00001/GT-00001.csv"],
}


@pytest.mark.parametrize(
    ("source", "file"), [(name, file) for name, files in LISTS.items() for file in files], indirect=["source"]
)
def test_an_empty_list_and_one_of_other_lines(source: Source, file: str) -> None:
    (source.root / file).write_bytes(b"\n\n")
    with pytest.raises(DataError, match=rf"{file} is empty; get a new copy"):
        source.read()
    (source.root / file).write_bytes(b"\x89PNG\n\x00\xff")
    with pytest.raises(DataError, match=rf"line 1 of .*{file} is "):
        source.read()


@pytest.mark.parametrize(
    ("source", "file"),
    [("aircraft", file) for file in LISTS["aircraft"]] + [("dtd", "labels/val1.txt")],
    indirect=["source"],
)
def test_a_list_that_is_missing(source: Source, file: str) -> None:
    (source.root / file).unlink()
    with pytest.raises(DataError, match=rf"{file} cannot be read"):
        source.read()


@pytest.mark.parametrize(
    ("source", "file", "old", "new", "outside"),
    [
        ("aircraft", "data/images_variant_test.txt", "0000070", "../../../secret", "data/images/../../../secret.jpg"),
        ("cu_birds", "images.txt", "003.Ani/Bird_2", "../../003.Ani/secret", "../003.Ani/secret.jpg"),
        ("dtd", "labels/val1.txt", "banded/banded_0001", "../../banded/secret", "../banded/secret.jpg"),
        ("traffic_sign", "00001/GT-00001.csv", "00001_00007", "../../secret", "../secret.ppm"),
    ],
    indirect=["source"],
)
def test_a_name_that_points_outside(source: Source, file: str, old: str, new: str, outside: str) -> None:
    (source.root / outside).parent.mkdir(exist_ok=True)
    (source.root / outside).write_bytes(picture(0))
    source.edit(file, old, new)
    if source.card.name == "aircraft":
        source.edit("data/images_box.txt", old, new)
    with pytest.raises(DataError, match=rf"{new}.* is not there|line \d+ of .*{file} is .*{new}"):
        source.read()


@each("aircraft", "dtd")
def test_a_class_with_an_image_too_few(source: Source) -> None:
    file, line = {
        "aircraft": ("data/images_variant_test.txt", "0000070 737-200\n"),
        "dtd": ("labels/test1.txt", "banded/banded_0002.jpg\n"),
    }[source.card.name]
    source.edit(file, line, "")
    count = COUNTS[source.card.name]
    with pytest.raises(DataError, match=rf"'(737-200|banded)' has {count - 1} images instead of {count}"):
        source.read()


@each("cu_birds")
def test_an_image_that_is_listed_twice(source: Source) -> None:
    source.edit("images.txt", "Bird_2.jpg", "Bird_1.jpg")
    with pytest.raises(DataError, match=r"the lists name images/.*/Bird_1\.jpg 2 times"):
        source.read()


@each("aircraft")
def test_only_the_box_of_an_aircraft_is_kept(source: Source) -> None:
    corner = Image.new("RGB", (12, 8))
    corner.paste((255, 255, 255), (2, 1, 10, 6))  # what the authors call 3 2 10 6
    corner.save(source.root / "data" / "images" / "0000000.jpg", "PNG")
    with Reader() as reader:
        assert source.read().classes["737-200"][0].decode(reader, size=8, channels=3).min() == 255
    source.edit("data/images_box.txt", "0000000 3 2 10 6", "0000000 2 2 10 6")
    with Reader() as reader:
        assert source.read().classes["737-200"][0].decode(reader, size=8, channels=3).min() < 255


@each("aircraft")
def test_a_box_outside_of_its_image(source: Source) -> None:
    source.edit("data/images_box.txt", "0000000 3 2 10 6", "0000000 13 2 20 6")
    with Reader() as reader, pytest.raises(DataError, match=r"0000000\.jpg .*the box \(12, 1, 20, 6\) lies outside"):
        source.read().classes["737-200"][0].decode(reader, size=8, channels=3)


@each("aircraft")
def test_an_image_without_a_box_and_a_box_that_is_none(source: Source) -> None:
    source.edit("data/images_box.txt", "0000007 3 2 10 6\n", "")
    with pytest.raises(DataError, match=r"images_box\.txt has no box of the image 0000007"):
        source.read()
    source.edit("data/images_box.txt", "0000008 3 2 10 6", "0000008 3 2 10")
    with pytest.raises(DataError, match=r"line 8 of .*images_box\.txt is '0000008 3 2 10'"):
        source.read()


@each("vgg_flower")
def test_other_labels_than_the_published_ones(source: Source) -> None:
    content = (source.root / "imagelabels.mat").read_bytes()
    (source.root / "imagelabels.mat").write_bytes(content[:-20])
    with pytest.raises(DataError, match=r"imagelabels\.mat is not the file that its authors publish"):
        source.read()


@each("traffic_sign")
def test_the_table_of_another_class(source: Source) -> None:
    shutil.copy(source.root / "00000" / "GT-00000.csv", source.root / "00001" / "GT-00001.csv")
    with pytest.raises(DataError, match=r"GT-00001\.csv is not the table of the class 00001"):
        source.read()


@each("traffic_sign")
def test_a_track_of_signs_is_one_physical_sign(source: Source) -> None:
    assert source.prepare().tracks == [track for track in range(4) for _ in range(30)]


@each("traffic_sign")
def test_the_final_training_images_come_before_a_part_of_them(source: Source) -> None:
    part = source.origin / "GTSRB" / "Training"
    shutil.copytree(source.root, part)
    for folder in part.iterdir():
        table = folder / f"GT-{folder.name}.csv"
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:31]))
    assert source.prepare().partial is None
    shutil.rmtree(source.root)
    assert source.prepare().partial == "partial (30 per class)"


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, **datasets: Callable[..., object]) -> None:
    module = types.ModuleType("torchvision.datasets")
    module.__dict__.update(datasets)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


DOWNLOADED = {
    "aircraft": ("FGVCAircraft", "fgvc-aircraft-2013b"),
    "dtd": ("DTD", "dtd/dtd"),
    "vgg_flower": ("Flowers102", "flowers-102"),
}


@each(*DOWNLOADED)
def test_what_torchvision_downloads_is_found(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, place = DOWNLOADED[source.card.name]

    def fetch(root: str, *, download: bool) -> None:
        shutil.copytree(source.root, Path(root) / place)

    fake_torchvision(monkeypatch, **{dataset: fetch})
    source.module.download(tmp_path / "fetched")
    assert names_of(source.read(tmp_path / "fetched")) == names_of(source.read())


@each(*DOWNLOADED)
def test_a_failed_download_says_why(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str, *, download: bool) -> None:
        raise RuntimeError("File not found or corrupted.")

    fake_torchvision(monkeypatch, **{DOWNLOADED[source.card.name][0]: fail})
    with pytest.raises(DataError, match=rf"{source.card.name} cannot be downloaded \(File not found or corrupted"):
        source.module.download(tmp_path)


@each("dtd")
def test_nothing_is_fetched_over_plain_http(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: str, *, download: bool) -> None:
        assert socket.getdefaulttimeout() == 60
        urllib.request.urlopen("http://127.0.0.1:9/dtd.tar.gz")

    fake_torchvision(monkeypatch, DTD=fetch)
    with pytest.raises(DataError, match="unknown url type: http"):
        source.module.download(tmp_path)
    assert socket.getdefaulttimeout() is None
    with pytest.raises(OSError, match="Connection refused"):
        urllib.request.urlopen("http://127.0.0.1:9/dtd.tar.gz")


@pytest.mark.parametrize("name", SPLITS)
def test_the_shipped_splits_are_those_of_the_card(name: str) -> None:
    card = load_card(name)
    splits = read_lists(card.folder / "splits.toml")
    assert {split: len(names) for split, names in splits.items()} == card.variants[0].classes.model_dump()
    everything = [member for names in splits.values() for member in names]
    assert len(set(everything)) == len(everything)
    assert card.download == (name in DOWNLOADED)
    if name in ("vgg_flower", "traffic_sign"):
        first = 1 if name == "vgg_flower" else 0
        numbers = sorted(int(member.partition(".")[0]) for member in everything)
        assert numbers == list(range(first, first + len(everything)))


def test_flowers_that_were_unpacked_in_part_are_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = tmp_path / "flowers-102" / "jpg"
    unpacked.mkdir(parents=True)
    (unpacked / "image_00001.jpg").touch()
    found = []
    monkeypatch.setattr("torchvision.datasets.Flowers102", lambda *_, **__: found.append(unpacked.exists()))
    vgg_flower.download(tmp_path)
    monkeypatch.setattr(vgg_flower, "_IMAGES", 1)
    unpacked.mkdir()
    (unpacked / "image_00001.jpg").touch()
    vgg_flower.download(tmp_path)
    assert found == [False, True]
    assert (tmp_path / "flowers-102" / "jpg.corrupt" / "image_00001.jpg").exists()
