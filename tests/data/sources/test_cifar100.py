from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fsbench.data.card import Card
from fsbench.data.listing import Reader
from fsbench.data.sources import cifar100
from fsbench.data.sources.listed import read_lists
from fsbench.errors import DataError
from helpers.small_card import small_card

SPLITS = {"train": ["apple"], "val": ["train"], "test": ["maple_tree"]}
CLASSES = ["apple", "maple_tree", "train"]


class FakeCIFAR100:
    """Like torchvision's: 5 training and 2 test images of every class, classes taking turns; red tells the class."""

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        if download:
            (Path(root) / "cifar-100-python").mkdir(parents=True)
        self.classes = CLASSES
        self.targets = list(range(3)) * (5 if train else 2)
        self.data = np.zeros((len(self.targets), 32, 32, 3), dtype=np.uint8)
        self.data[..., 0] = 60 * np.array(self.targets)[:, None, None]
        self.data[:, :16, :, 2] = 200 if train else 100  # above


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, dataset: Callable[..., object]) -> None:
    module = types.ModuleType("torchvision.datasets")
    module.CIFAR100 = dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


@pytest.fixture(params=["cifar_fs", "fc100"])
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Card:
    return small_card(request.param, tmp_path / "card", SPLITS, images=21)


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_torchvision(monkeypatch, FakeCIFAR100)
    cifar100.download(tmp_path / "origin")
    return tmp_path / "origin"


def test_training_and_test_images_are_joined_in_this_order(card: Card, origin: Path) -> None:
    listing = cifar100.original(card, origin)
    assert listing is not None
    assert sorted(listing.classes) == CLASSES
    with Reader() as reader:
        for label, name in enumerate(CLASSES):
            images = listing.classes[name]
            assert [image.name for image in images] == [
                *(f"train/{3 * number + label:05}" for number in range(5)),
                *(f"test/{3 * number + label:05}" for number in range(2)),
            ]
            pixels = [image.decode(reader, size=32, channels=3) for image in images]
            assert {tuple(image[:, 31, 0].tolist()) for image in pixels} == {(60 * label, 0, 0)}
            assert [int(image[2, 0, 0]) for image in pixels] == [200] * 5 + [100] * 2
            assert images[0].decode(reader, size=16, channels=1).shape == (1, 16, 16)


def test_a_complete_source_is_prepared_with_its_splits(card: Card, origin: Path) -> None:
    prepared = cifar100.prepare(card, card.variants[0].name, 32, origin)
    assert prepared.partial is None
    splits = {split: [prepared.classes[label] for label in labels] for split, labels in prepared.splits.items()}
    assert splits == SPLITS == read_lists(card.folder / "splits.toml")


def test_a_folder_without_the_authors_folder_has_none(card: Card, tmp_path: Path) -> None:
    assert cifar100.original(card, tmp_path) is None


def test_a_class_that_no_split_has_is_named(tmp_path: Path, origin: Path) -> None:
    card = small_card("fc100", tmp_path / "card", {"train": ["apple"], "test": ["train"]}, images=14)
    with pytest.raises(DataError, match="the class 'maple_tree' is in no split"):
        cifar100.prepare(card, "oreshkin", 32, origin)


def test_files_that_were_not_published_are_refused_before_they_are_read(tmp_path: Path) -> None:
    card = small_card("cifar_fs", tmp_path / "card", SPLITS, images=21)
    folder = tmp_path / "origin" / "cifar-100-python"
    folder.mkdir(parents=True)
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataError, match=r"cifar-100-python is not complete, or not what was published"):
        cifar100.original(card, tmp_path / "origin")


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str, *, download: bool) -> None:
        raise RuntimeError("File not found or corrupted.")

    fake_torchvision(monkeypatch, fail)
    with pytest.raises(DataError, match=r"CIFAR-100 cannot be downloaded \(File not found or corrupted"):
        cifar100.download(tmp_path)
