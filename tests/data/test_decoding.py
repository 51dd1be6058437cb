from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fsbench.data import decoding
from fsbench.data.decoding import Undecoded
from fsbench.data.images import Box, decode_image
from fsbench.data.listing import FileImage, Reader
from fsbench.data.pack import Pack
from fsbench.data.prepared import Prepared, write_pack
from fsbench.errors import DataError
from fsbench.files.tree import open_tree

COUNT = 150  # more than two processes decode at once


@pytest.fixture
def items(tmp_path: Path) -> list[FileImage]:
    """Images that differ, half of them in a zip."""
    folder, archive = tmp_path / "images", tmp_path / "images.zip"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as target:
        for number in range(COUNT):
            file = folder / f"{number:03}.png"
            Image.new("RGB", (9, 12), (number, 255 - number, number % 7)).save(file)
            if number % 2:
                target.write(file, file.name)
                file.unlink()
    return [FileImage(archive if number % 2 else folder, f"{number:03}.png") for number in range(COUNT)]


def decode(items: list[FileImage]) -> npt.NDArray[np.uint8]:
    return np.concatenate([decoded.images for _, decoded in Undecoded(items, 8, 3).decode()])


def write(items: list[Any], folder: Path) -> Pack:
    labels, names = np.zeros(len(items), dtype=np.int64), list(map(str, range(len(items))))
    return write_pack(folder, "many", Prepared(Undecoded(items, 8, 3), labels, names, ["a"], {"train": [0]}, {}))


@pytest.fixture
def in_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_FEW", 1)


def test_images_come_in_the_order_of_the_items(items: list[FileImage]) -> None:
    images = decode(items)
    assert images.shape == (COUNT, 3, 8, 8)
    assert images[:, 0, 4, 4].tolist() == list(range(COUNT))
    assert decode(items[::-1])[:, 0, 4, 4].tolist() == list(range(COUNT))[::-1]


def test_other_processes_decode_the_same_images(
    items: list[FileImage], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here = write(items, tmp_path / "here")
    request.getfixturevalue("in_other_processes")
    there = write(items, tmp_path / "there")
    assert there.digest == here.digest
    assert np.array_equal(there.images, decode(items))


@pytest.fixture(params=["here", "there"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """In this process, then in others."""
    if request.param == "there":
        request.getfixturevalue("in_other_processes")
    yield


@pytest.mark.usefixtures("anywhere")
def test_an_error_names_its_file_and_leaves_no_pack(items: list[FileImage], tmp_path: Path) -> None:
    damaged = items[100].tree / items[100].file
    damaged.write_bytes(b"no image")
    with pytest.raises(DataError, match=rf"^{damaged} cannot be decoded as an image \(.*\); replace it or remove it"):
        write(items, tmp_path / "pack")
    left = {path.name for path in (tmp_path / "pack").iterdir()}
    assert "pack.json" not in left
    assert not [name for name in left if name.startswith(".") or name.endswith(".tmp")]


class Killer:
    """An image that ends the process which it is sent to."""

    name = "killer"

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_process_that_was_killed(tmp_path: Path, in_other_processes: None) -> None:
    with pytest.raises(DataError, match=r"a process that decodes images was killed .*; free memory, try again"):
        write([Killer()], tmp_path / "pack")
    assert not (tmp_path / "pack" / "pack.json").exists()


@pytest.mark.usefixtures("anywhere")
def test_unreadable_images_are_left_out_and_named_by_their_numbers(items: list[FileImage]) -> None:
    for number in (0, 70, 148):
        (items[number].tree / items[number].file).write_bytes(b"no image")
    found = list(Undecoded(items, 8, 3, skip_unreadable=True).decode())
    images = np.concatenate([decoded.images for _, decoded in found])
    assert images[:, 0, 4, 4].tolist() == [number for number in range(COUNT) if number not in (0, 70, 148)]
    problems = {start + place: why for start, decoded in found for place, why in decoded.unreadable.items()}
    assert list(problems) == [0, 70, 148]
    assert "070.png cannot be decoded as an image" in problems[70]


def test_what_is_done_is_logged(
    items: list[FileImage], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fsbench.pace.SECONDS_A_LINE", 0)
    caplog.set_level("INFO", "fsbench")
    decode(items)
    assert caplog.messages == [f"{done} of 150 images decoded" for done in (64, 128, 150)]


def test_a_file_that_is_gone_is_named(items: list[FileImage]) -> None:
    (items[2].tree / items[2].file).unlink()
    with pytest.raises(DataError, match=r"images/002\.png cannot be read"):
        decode(items)


@pytest.fixture
def quarters(tmp_path: Path) -> Path:
    """An image of 20x10 pixels: black, red above green, blue."""
    image = Image.new("RGB", (20, 10))
    image.paste((255, 0, 0), (10, 0, 20, 5))
    image.paste((0, 255, 0), (0, 5, 10, 10))
    image.paste((0, 0, 255), (10, 5, 20, 10))
    image.save(tmp_path / "quarters.png")
    return tmp_path / "quarters.png"


@pytest.mark.parametrize(
    ("box", "colour"),
    [
        ((10, 0, 20, 5), [255, 0, 0]),
        ((0, 5, 10, 10), [0, 255, 0]),
        ((12, 7, 14, 8), [0, 0, 255]),
        ((10, -3, 25, 5), [255, 0, 0]),
        ((-9, 5, 10, 99), [0, 255, 0]),
        ((19, 9, 1000, 1000), [0, 0, 255]),
    ],
)
def test_a_box_is_cut_out_and_cut_off_at_the_edges(quarters: Path, box: Box, colour: list[int]) -> None:
    image = decode_image(quarters.read_bytes(), "it", size=8, channels=3, box=box)
    assert image.shape == (3, 8, 8)
    assert (image == np.array(colour)[:, None, None]).all()


def test_a_box_is_of_the_pixels_as_they_are_stored(quarters: Path, tmp_path: Path) -> None:
    """A camera that was turned says so beside them."""
    turned = Image.Exif()
    turned[0x0112] = 6
    file = tmp_path / "turned.png"
    Image.open(quarters).save(file, exif=turned)
    box = (10, 0, 20, 5)
    plain, found = (decode_image(each.read_bytes(), "it", size=8, channels=3, box=box) for each in (quarters, file))
    assert np.array_equal(found, plain)
    whole = decode_image(file.read_bytes(), "it", size=8, channels=3)
    assert np.array_equal(whole, np.rot90(decode_image(quarters.read_bytes(), "it", size=8, channels=3), -1, (1, 2)))


def test_a_box_around_everything_is_the_whole_image(quarters: Path) -> None:
    content = quarters.read_bytes()
    whole = decode_image(content, "it", size=8, channels=1)
    assert np.array_equal(decode_image(content, "it", size=8, channels=1, box=(-5, -5, 99, 99)), whole)


@pytest.mark.parametrize(
    "box", [(20, 0, 30, 5), (-9, 0, 0, 5), (0, 10, 5, 20), (0, -9, 5, 0), (8, 2, 8, 5), (9, 2, 8, 5)]
)
def test_a_box_outside_of_its_image(quarters: Path, box: Box) -> None:
    item = FileImage(quarters.parent, quarters.name, box)
    with (
        Reader() as reader,
        pytest.raises(DataError, match=r"quarters\.png .*the box \(.*\) lies outside of its 20x10"),
    ):
        item.decode(reader, size=8, channels=3)


def test_the_boxes_of_an_image_have_names_of_their_own(quarters: Path) -> None:
    assert FileImage(quarters.parent, quarters.name).name == "quarters.png"
    assert FileImage(quarters.parent, quarters.name, (1, 2, 3, 4)).name == "quarters.png@1,2,3,4"


def test_a_file_of_a_known_name_is_read_without_listing_its_folder(
    quarters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []
    scan = os.scandir

    def noted(path: Path) -> Iterator[os.DirEntry[str]]:
        listed.append(path)
        return scan(path)

    monkeypatch.setattr("os.scandir", noted)
    with open_tree(quarters.parent) as tree:
        assert tree.read("quarters.png") == quarters.read_bytes()
        assert listed == []
        assert tree.files == ["quarters.png"]
        assert tree.folders == []
        assert listed == [quarters.parent]  # once


def test_a_folder_or_zip_is_opened_once_and_closed_in_the_end(items: list[FileImage]) -> None:
    with Reader() as reader:
        trees = {item.tree: reader.tree(item.tree) for item in items}
        assert all(reader.tree(item.tree) is trees[item.tree] for item in items)
    with pytest.raises(ValueError, match="closed"):
        trees[items[1].tree].read(items[1].file)
