from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fsbench.cli.main import main
from fsbench.data.pack import Pack
from fsbench.data.prepare import ensure_pack, verify
from fsbench.errors import DataError, DataNotFoundError
from helpers.small_card import write_card

SPLITS = {"train": ["n01532829", "n01558993"], "val": ["n01855672"], "test": ["n01930112"]}
CLASSES = [name for names in SPLITS.values() for name in names]
NUMBERS = (2, 5, 7)  # of the images of every class
Zipped = Callable[[Path], Path]


def colour(name: str, number: int) -> tuple[int, int, int]:
    return 60 * CLASSES.index(name), 30 * number, 0


def write_image(path: Path, name: str, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 12), colour(name, number)).save(path, "JPEG")


def listed(name: str, number: int) -> str:
    return f"{name}{number:08}.jpg"


def write_lists(folder: Path, numbers: Sequence[int] = NUMBERS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in SPLITS.items():
        lines = [f"{listed(name, number)},{name}\n" for name in names for number in reversed(numbers)]
        (folder / f"{split}.csv").write_text("".join(["filename,label\n", *lines]))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cards of a world where miniImageNet has four classes of three images."""
    folder = tmp_path / "cards"
    write_card("miniimagenet", folder, SPLITS, images=12)
    monkeypatch.setattr("fsbench.data.card.cards_folder", lambda: folder)
    return folder


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """The CSV files, and the images in a flat folder beside them."""
    folder = tmp_path / "flat"
    write_lists(folder)
    for name in CLASSES:
        for number in NUMBERS:
            write_image(folder / "images" / listed(name, number), name, number)
    return folder


@pytest.fixture
def ilsvrc(tmp_path: Path) -> Path:
    """The CSV files, and beside them a train folder whose numbers have gaps and different lengths."""
    folder = tmp_path / "ilsvrc"
    write_lists(folder)
    for name in CLASSES:
        for place, number in enumerate((3, 4, 5, 20, 31, 100, 900, 1000), 1):
            write_image(folder / "train" / name / f"{name}_{number}.JPEG", name, place)
    return folder


def prepare(origin: Path) -> Pack:
    return ensure_pack("miniimagenet", origin=origin, size=8, fresh=True)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def assert_right(pack: Pack) -> None:
    """The colour of an image tells its class and number; its name is the list's, wherever its file lies."""
    assert pack.classes == tuple(CLASSES)
    assert pack.counts.tolist() == [3, 3, 3, 3]
    assert pack.splits == {"train": (0, 1), "val": (2,), "test": (3,)}
    wanted = [colour(name, number) for name in CLASSES for number in NUMBERS]
    assert pack.names.tolist() == [f"images/{listed(name, number)}" for name in CLASSES for number in NUMBERS]
    assert pack.images.shape == (12, 3, 8, 8)
    assert np.abs(pack.images.astype(int) - np.array(wanted)[:, :, None, None]).max() <= 4


def test_images_in_a_flat_folder(flat: Path) -> None:
    pack = prepare(flat)
    assert_right(pack)
    assert pack.partial is None
    assert pack.tracks is None
    assert pack.hierarchy is None
    assert pack.processing["layout"] == "images"


def test_images_in_class_folders_and_beside_the_lists(flat: Path) -> None:
    for path in (flat / "images").iterdir():
        name = path.name[:9]
        target = flat if name == CLASSES[0] else flat / "some" / name
        target.mkdir(parents=True, exist_ok=True)
        path.rename(target / path.name)
    assert_right(prepare(flat))


def test_images_in_several_zips_that_unpack_into_one_folder(flat: Path) -> None:
    (flat / "zips").mkdir()
    for split, names in SPLITS.items():
        with zipfile.ZipFile(flat / "zips" / f"{split}.zip", "w") as archive:
            for name in names:
                for path in sorted((flat / "images").glob(f"{name}*")):
                    archive.write(path, f"images/{path.name}")
    shutil.rmtree(flat / "images")
    (flat / "zips" / "._train.zip").write_bytes(b"left behind by the desktop")
    assert_right(prepare(flat))


def test_the_kth_image_of_a_class_of_ilsvrc_in_the_order_of_their_numbers(ilsvrc: Path) -> None:
    pack = prepare(ilsvrc)
    assert_right(pack)
    assert pack.processing["layout"] == "ILSVRC 2012 train folder"
    assert pack.partial is None


def test_images_that_are_not_listed_are_left_out(flat: Path) -> None:
    write_image(flat / "images" / listed(CLASSES[0], 1), CLASSES[0], 1)
    write_image(flat / "images" / "n0999999900000001.jpg", CLASSES[0], 1)
    assert_right(prepare(flat))


@pytest.mark.parametrize(
    ("numbers", "stamp"),
    [
        ({"train": (2, 5), "val": (2, 5), "test": (2, 5)}, "partial (2 per class)"),
        ({"train": (2, 5, 7), "val": (2, 7), "test": (5,)}, "partial (train 3, val 2, test 1 per class)"),
    ],
)
def test_lists_of_fewer_images_make_a_partial_source(
    flat: Path, numbers: dict[str, tuple[int, ...]], stamp: str
) -> None:
    for split, kept in numbers.items():
        for name in SPLITS[split]:
            for number in set(NUMBERS) - set(kept):
                edit(flat / f"{split}.csv", f"{listed(name, number)},{name}\n", "")
    done = run("prepare", "miniimagenet", "--from", flat, "--size", 8)
    assert done.exit_code == 0
    assert stamp in done.output
    checked = run("verify", "miniimagenet", "--size", 8)
    assert stamp in checked.output
    assert "intact" in checked.output
    pack = ensure_pack("miniimagenet", size=8)
    assert pack.partial == stamp
    assert [len(pack.splits[split]) for split in SPLITS] == [2, 1, 1]


def test_a_complete_source_has_no_stamp(flat: Path) -> None:
    assert "partial" not in run("prepare", "miniimagenet", "--from", flat, "--size", 8).output
    assert "partial" not in run("verify", "miniimagenet", "--size", 8).output


def test_more_images_than_there_are_do_not_pass_for_a_partial_source(flat: Path, cards: Path) -> None:
    write_card("miniimagenet", cards, SPLITS, images=11)
    prepare(flat)
    with pytest.raises(
        DataError, match=r"has 12 images instead of 11; run `fsbench data prepare miniimagenet --fresh`"
    ):
        verify("miniimagenet", size=8)


@pytest.mark.parametrize("split", SPLITS)
def test_a_list_that_is_absent(flat: Path, split: str) -> None:
    (flat / f"{split}.csv").unlink()
    with pytest.raises(
        DataNotFoundError, match=rf"{split}\.csv is not in .*flat; get the three CSV files .*--from PATH"
    ):
        prepare(flat)


def test_nothing_there(tmp_path: Path) -> None:
    missing = run("prepare", "miniimagenet", "--data-root", tmp_path / "nowhere")
    assert missing.exit_code == 2
    complaint = missing.stderr
    assert f"train.csv is not in {tmp_path / 'nowhere' / 'miniimagenet'}" in complaint
    assert "get the three CSV files" in complaint
    assert "fsbench data prepare miniimagenet --from PATH" in complaint


def test_lists_without_images(flat: Path, cache: Path) -> None:
    shutil.rmtree(flat / "images")
    with pytest.raises(DataNotFoundError, match=r"images is not in .*; get .* the images they list"):
        prepare(flat)
    assert not list(cache.rglob("pack.json"))


def test_a_list_that_is_cut_in_the_middle_of_a_line(flat: Path) -> None:
    path = flat / "train.csv"
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for length in range(1, len(last) - 1):
        path.write_bytes(whole[: len(whole) - len(last) + length])
        with pytest.raises(DataError, match=r"train\.csv, line 7: '.*' is no image with its class"):
            prepare(flat)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", r"train\.csv begins with '', not with 'filename,label'"),
        (b"file,class\nn0153282900000002.jpg,n01532829\n", r"train\.csv begins with 'file,class'"),
        (b"filename,label\nn01532829,n0153282900000002.jpg\n", r"train\.csv, line 2: "),
        (b"filename,label\nn0153282900000002.jpg\n", r"train\.csv, line 2: 'n0153282900000002\.jpg' is no"),
        (b"filename,label\nn0153282900000002.jpg,n01558993\n", r"line 2: 'n0153282900000002\.jpg,n01558993' is no"),
        (b"filename,label\n../n0153282900000002.jpg,n01532829\n", r"line 2: '\.\./n0153282900000002\.jpg,n0"),
        (b"filename,label\n../00000002.jpg,../\n", r"has the class \.\./"),
        (b"\x89PNG\r\n\x1a\n\xff", r"train\.csv cannot be read \(.*utf-8"),
        (b"filename,label\n", r"train\.csv lacks n01532829 \(2 such\)"),
    ],
)
def test_a_file_that_is_no_list_of_the_split(flat: Path, content: bytes, complaint: str) -> None:
    (flat / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        prepare(flat)


def test_an_image_of_another_class_than_its_name_says(flat: Path) -> None:
    edit(flat / "train.csv", f"{listed('n01532829', 5)},n01532829", f"{listed('n01532829', 5)},n01558993")
    with pytest.raises(DataError, match=r"line 3: 'n0153282900000005\.jpg,n01558993' is no image with its class"):
        prepare(flat)


def test_listed_images_that_are_absent_are_counted(flat: Path) -> None:
    (flat / "images" / listed("n01558993", 5)).unlink()
    (flat / "images" / listed("n01930112", 2)).unlink()
    with pytest.raises(DataError, match=r"n0155899300000005\.jpg is listed, but there is no .* \(2 of 12 are absent\)"):
        prepare(flat)


def test_an_image_that_is_listed_twice(flat: Path) -> None:
    edit(flat / "val.csv", listed("n01855672", 5), listed("n01855672", 2))
    with pytest.raises(DataError, match=r"val\.csv lists an image of n01855672 twice"):
        prepare(flat)


def test_the_split_of_vinyals_is_refused_with_an_explanation(flat: Path) -> None:
    edit(flat / "test.csv", "n01930112", "n02110063")
    with pytest.raises(
        DataError, match=r"test\.csv has the class n02110063 \(1 such\).*Vinyals et al\. \(2016\).*not comparable"
    ):
        prepare(flat)


def test_two_lists_that_have_each_others_names(flat: Path) -> None:
    (flat / "val.csv").rename(flat / "x.csv")
    (flat / "test.csv").rename(flat / "val.csv")
    (flat / "x.csv").rename(flat / "test.csv")
    with pytest.raises(DataError, match=r"val\.csv has a class of another split, n01930112 \(1 such\)"):
        prepare(flat)


def test_a_list_that_lacks_a_class(flat: Path) -> None:
    for number in NUMBERS:
        edit(flat / "train.csv", f"{listed('n01558993', number)},n01558993\n", "")
    with pytest.raises(DataError, match=r"train\.csv lacks n01558993 \(1 such\)"):
        prepare(flat)


def test_an_unreadable_image_is_named_and_leaves_no_pack(flat: Path, cache: Path) -> None:
    path = flat / "images" / listed("n01855672", 7)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"images/n0185567200000007\.jpg cannot be decoded"):
        prepare(flat)
    assert not list(cache.rglob("pack.json"))
    write_image(path, "n01855672", 7)
    assert_right(prepare(flat))


def test_an_unreadable_image_in_a_zip_is_named(flat: Path, zipped: Zipped) -> None:
    (flat / "images" / listed("n01855672", 7)).write_bytes(b"no image")
    zipped(flat / "images")
    with pytest.raises(DataError, match=r"images\.zip/images/n0185567200000007\.jpg cannot be decoded"):
        prepare(flat)


def test_a_zip_that_is_cut(flat: Path, zipped: Zipped) -> None:
    archive = zipped(flat / "images")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"images\.zip \([\d,]+ bytes\) is no complete zip"):
        prepare(flat)


def test_a_zip_with_an_entry_that_points_outside_is_refused(flat: Path, zipped: Zipped) -> None:
    with zipfile.ZipFile(zipped(flat / "images"), "a") as archive:
        archive.writestr("../train.csv", "filename,label\n")
    with pytest.raises(DataError, match=r"images\.zip has the entry '\.\./train\.csv', which points outside"):
        prepare(flat)


def test_a_class_of_ilsvrc_with_too_few_images(ilsvrc: Path) -> None:
    for number in (31, 1000):
        (ilsvrc / "train" / "n01855672" / f"n01855672_{number}.JPEG").unlink()
    with pytest.raises(DataError, match=r"has 6 images of n01855672, but number 7 of them is listed.*the whole class"):
        prepare(ilsvrc)
    shutil.rmtree(ilsvrc / "train" / "n01855672")
    with pytest.raises(DataError, match=r"has 0 images of n01855672, but number 2 of them is listed"):
        prepare(ilsvrc)


def test_the_images_of_ilsvrc_are_counted_from_1(ilsvrc: Path) -> None:
    edit(ilsvrc / "val.csv", listed("n01855672", 2), listed("n01855672", 0))
    with pytest.raises(DataError, match=r"has 8 images of n01855672, but number 0 of them is listed"):
        prepare(ilsvrc)


SLOWLY = """
import logging, sys, time
from pathlib import Path
from fsbench.data import card
from fsbench.data.prepare import ensure_pack

cards, origin, log = map(Path, sys.argv[1:])
card.cards_folder = lambda: cards

def write(record):
    line = record.getMessage()
    with log.open("a") as file:
        file.write(line + "\\n")
    deadline = time.monotonic() + 30
    while "images listed" in line and "waiting" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)

logging.getLogger("fsbench").setLevel("INFO")
logging.getLogger("fsbench").addFilter(lambda record: write(record) or True)
ensure_pack("miniimagenet", origin=origin, size=8)
"""


def test_of_two_processes_one_prepares_and_one_waits(flat: Path, cards: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLOWLY, str(cards), str(flat), str(log)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    said = log.read_text()
    assert said.count("12 images listed") == said.count("waiting for process") == 1
    assert_right(verify("miniimagenet", size=8))
