from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

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


class Python2(pickle._Pickler):
    """Writes as the author's Python 2 did, whose strings had no encoding."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, value: str | bytes) -> None:
        content = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(content)) + content)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[bytes] = dispatch[str] = save_string


def pickled(value: object) -> bytes:
    stream = io.BytesIO()
    Python2(stream, 2).dump(value)
    return stream.getvalue().replace(b"numpy._core", b"numpy.core")


def write_files(folder: Path) -> dict[str, str]:
    """5 training and 2 test images of every class, classes taking turns; red tells the class. Returns their hashes."""
    folder.mkdir(parents=True)
    contents: dict[str, object] = {"meta": {"fine_label_names": CLASSES}}
    for part, number, blue in (("train", 5, 200), ("test", 2, 100)):
        labels = list(range(3)) * number
        data = np.zeros((len(labels), 3, 32, 32), dtype=np.uint8)
        data[:, 0] = 60 * np.array(labels)[:, None, None]
        data[:, 2, :16] = blue  # above
        contents[part] = {"fine_labels": labels, "data": data.reshape(len(labels), -1)}
    for name, content in contents.items():
        (folder / name).write_bytes(pickled(content))
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in contents}


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
    monkeypatch.setattr(cifar100, "SHA256", write_files(tmp_path / "origin" / "cifar-100-python"))
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


@pytest.mark.parametrize("name", ["meta", "train", "test"])
def test_files_that_were_not_published_are_refused_before_they_are_unpickled(
    card: Card, origin: Path, name: str
) -> None:
    path = origin / "cifar-100-python" / name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=rf"{name} is not the file that its author published \(SHA-256 "):
        cifar100.original(card, origin)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name} cannot be read \(No such file"):
        cifar100.original(card, origin)


def test_what_is_swapped_while_it_is_read_is_not_unpickled(
    card: Card, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every later look finds a file that would run code; what was checked is what is parsed."""
    opened: list[str] = []
    to_open = os.open

    def swapping(path: str, flags: int) -> int:
        found = to_open(path, flags)
        if Path(path).parent.name == "cifar-100-python":
            assert path not in opened, f"{path} is read again"
            opened.append(path)
            Path(path).unlink()
            Path(path).write_bytes(b"cos\nmkdir\n(S'pwned'\ntR.")
        return found

    monkeypatch.setattr(os, "open", swapping)
    assert cifar100.original(card, origin) is not None
    assert len(opened) == 3
    assert not Path("pwned").exists()


def test_the_hashes_are_those_of_three_files() -> None:
    assert {name: len(digest) for name, digest in cifar100.SHA256.items()} == {"meta": 64, "train": 64, "test": 64}


def test_what_the_archive_unpacks_to_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(root: str, *, download: bool) -> None:
        assert download
        monkeypatch.setattr(cifar100, "SHA256", write_files(Path(root) / "cifar-100-python"))

    fake_torchvision(monkeypatch, fetched)
    cifar100.download(tmp_path / "origin")
    assert cifar100.original(small_card("cifar_fs", tmp_path / "card", SPLITS, images=21), tmp_path / "origin")


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str, *, download: bool) -> None:
        raise RuntimeError("File not found or corrupted.")

    fake_torchvision(monkeypatch, fail)
    with pytest.raises(DataError, match=r"CIFAR-100 cannot be downloaded \(File not found or corrupted"):
        cifar100.download(tmp_path)
