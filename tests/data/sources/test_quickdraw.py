from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fsbench.data.card import Card
from fsbench.data.listing import Listing, Reader
from fsbench.data.sources import quickdraw
from fsbench.errors import DataError
from helpers.small_card import small_card

SPLITS = {"train": ["cat", "The Eiffel Tower"], "val": ["t-shirt"], "test": ["axe"]}
CLASSES = sorted(name for names in SPLITS.values() for name in names)


def bitmaps(label: int) -> np.ndarray:
    """Ten drawings; number k has k white rows at the top and a pixel that tells the class."""
    drawings = np.zeros((10, 28, 28), dtype=np.uint8)
    for number, drawing in enumerate(drawings):
        drawing[:number] = 255
        drawing[27, 0] = 50 * label
    return drawings.reshape(10, 784)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return small_card("quickdraw", tmp_path / "card", SPLITS, images=40)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    origin = tmp_path / "origin"
    origin.mkdir()
    for label, name in enumerate(CLASSES):
        np.save(origin / f"{name}.npy", bitmaps(label))
    return origin


def read(card: Card, origin: Path) -> Listing:
    listing = quickdraw.original(card, origin)
    assert listing is not None
    return listing


def test_every_drawing_of_every_category_white_on_black(card: Card, origin: Path) -> None:
    listing = read(card, origin)
    assert sorted(listing.classes) == CLASSES
    with Reader() as reader:
        for label, name in enumerate(CLASSES):
            drawings = listing.classes[name]
            assert [drawing.name for drawing in drawings] == [f"{name}/{row}" for row in range(10)]
            pixels = drawings[7].decode(reader, size=28, channels=1)
            assert np.array_equal(pixels, bitmaps(label)[7].reshape(1, 28, 28))


def test_drawings_are_resized_and_can_be_rgb(card: Card, origin: Path) -> None:
    drawing = read(card, origin).classes["axe"][9]
    with Reader() as reader:
        grey = drawing.decode(reader, size=84, channels=1)
        colour = drawing.decode(reader, size=84, channels=3)
    assert grey.shape == (1, 84, 84)
    assert grey[0, :24].min() == 255
    assert grey[0, 30:, 10:].max() == 0
    assert np.array_equal(colour, np.repeat(grey, 3, axis=0))


def test_drawings_are_made_when_asked_for_and_can_be_sent_to_another_process(card: Card, origin: Path) -> None:
    drawings = read(card, origin).classes["cat"]
    assert [drawing.name for drawing in drawings[2:8:3]] == ["cat/2", "cat/5"]
    assert drawings[-1].name == "cat/9"
    with pytest.raises(IndexError):
        drawings[10]
    assert pickle.loads(pickle.dumps(drawings[3])) == drawings[3]


def test_a_browsers_names_give_the_same_drawings(card: Card, origin: Path) -> None:
    names = [drawing.name for drawings in read(card, origin).classes.values() for drawing in drawings]
    for path in list(origin.iterdir()):
        path.rename(path.with_name(f"full_numpy_bitmap_{path.name}"))
    (origin / "._cat.npy").write_bytes(b"junk")
    assert [drawing.name for drawings in read(card, origin).classes.values() for drawing in drawings] == names


def test_a_pack_has_so_many_of_every_category_evenly_spaced_and_is_partial(card: Card, origin: Path) -> None:
    few = card.model_copy(update={"most": 4})
    prepared = quickdraw.prepare(few, "metadataset", 28, origin)
    assert list(prepared.names[-4:]) == ["t-shirt/0", "t-shirt/2", "t-shirt/5", "t-shirt/7"]
    assert prepared.partial == "partial (4 per class)"
    assert quickdraw.prepare(card, "metadataset", 28, origin).partial is None


def test_a_folder_without_bitmaps_has_none(card: Card, tmp_path: Path) -> None:
    assert quickdraw.original(card, tmp_path) is None
    assert quickdraw.original(card, tmp_path / "nowhere") is None


def test_a_missing_category_makes_it_partial(card: Card, origin: Path) -> None:
    (origin / "axe.npy").unlink()
    prepared = quickdraw.prepare(card, "metadataset", 28, origin)
    assert prepared.partial == "partial (3 of 4 classes, 10 per class)"


def test_a_category_that_no_split_has_is_named(card: Card, origin: Path) -> None:
    (origin / "axe.npy").rename(origin / "axes.npy")
    with pytest.raises(DataError, match="the class 'axes' is in no split; did you mean 'axe'"):
        quickdraw.prepare(card, "metadataset", 28, origin)


def header(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cannot be read .* it may be cut"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "cannot be read .* it may be cut"),
        (lambda path: path.write_bytes(b""), "cannot be read .* it may be cut"),
        (header(b"(10, 784)", b"(10, 784 "), "cannot be read"),
        (header(b"(10, 784)", b"(-9, 784)"), "cannot be read"),
        (header(b"{'descr'", b"[['descr'"), "cannot be read"),
        (header(b"'|u1'", b"'|O' "), "cannot be read"),
        (lambda path: np.save(path, np.zeros((10, 28, 28), dtype=np.uint8)), r"uint8 \[10, 28, 28\] instead of uint8"),
        (lambda path: np.save(path, np.zeros((10, 784))), r"holds float64 \[10, 784\] instead of uint8"),
    ],
)
def test_a_file_that_is_cut_damaged_or_something_else_is_named(
    card: Card, origin: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    spoil(origin / "cat.npy")
    with pytest.raises(DataError, match=rf"cat\.npy {complaint}" if complaint.startswith("cannot") else complaint):
        read(card, origin)


def test_a_category_without_drawings_is_named(card: Card, origin: Path) -> None:
    np.save(origin / "cat.npy", np.zeros((0, 784), dtype=np.uint8))
    with pytest.raises(DataError, match="the class 'cat' has no image"):
        quickdraw.prepare(card, "metadataset", 28, origin)


def test_a_file_that_is_cut_after_it_was_listed_is_named(card: Card, origin: Path) -> None:
    drawing = read(card, origin).classes["cat"][9]
    (origin / "cat.npy").write_bytes((origin / "cat.npy").read_bytes()[:-700])
    with Reader() as reader, pytest.raises(DataError, match=r"cat\.npy cannot be read"):
        drawing.decode(reader, size=28, channels=1)
