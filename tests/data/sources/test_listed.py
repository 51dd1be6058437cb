"""Sources of natural images from any of their layouts, with birds, signs and aircraft as examples."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tfrecord import TFRecordWriter

from fsbench.cli.main import main
from fsbench.data.card import load_card
from fsbench.data.listing import FileImage, Listing
from fsbench.data.pack import Pack
from fsbench.data.pack_files import load_pack
from fsbench.data.prepare import ensure_pack, verify
from fsbench.data.sources.listed import arrange
from fsbench.errors import DataError, DataNotFoundError
from helpers.small_card import write_card

BIRDS = {"train": ["001.Albatross", "004.Ani"], "val": ["003.Auklet"], "test": ["002.Bobolink"]}
SIGNS = {"test": ["00.Speed limit (20km/h)", "01.No passing"]}
AIRCRAFT = {"train": ["737-200"], "val": ["F-16A/B"], "test": ["Hawk T1"]}
CLASSES = sorted(name for names in BIRDS.values() for name in names)
Zipped = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cards of a world with four birds of three images, two signs of two, and three aircraft of one."""
    folder = tmp_path / "cards"
    write_card("cu_birds", folder, BIRDS, images=12)
    write_card("traffic_sign", folder, SIGNS, images=4)
    write_card("aircraft", folder, AIRCRAFT, images=3)
    monkeypatch.setattr("fsbench.data.card.cards_folder", lambda: folder)
    return folder


def picture(label: int, number: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (14, 10), (50 * label, 80 * number, 0)).save(stream, "JPEG")
    return stream.getvalue()


def write_class_folders(root: Path, folders: Mapping[str, Sequence[str]]) -> None:
    for label, (folder, files) in enumerate(folders.items()):
        (root / folder).mkdir(parents=True)
        for number, file in enumerate(files):
            (root / folder / file).write_bytes(picture(label, number))


def write_records(root: Path, specification: Mapping[str, object], counts: Sequence[int]) -> None:
    """The classes that a specification numbers, and the specification."""
    root.mkdir(exist_ok=True)
    common = {
        "name": "few",
        "images_per_class": {str(label): count for label, count in enumerate(counts)},
        "path": "",
        "file_pattern": "{}.tfrecords",
    }
    (root / "dataset_spec.json").write_text(json.dumps({**common, **specification}))
    for label, count in enumerate(counts):
        writer = TFRecordWriter(str(root / f"{label}.tfrecords"))
        for number in range(count):
            writer.write({"image": (picture(label, number), "byte"), "label": (label, "int")})
        writer.close()


def flat(names: Sequence[object], train: int, val: int, test: int) -> dict[str, object]:
    return {
        "__class__": "DatasetSpecification",
        "classes_per_split": {"TRAIN": train, "VALID": val, "TEST": test},
        "class_names": {str(label): name for label, name in enumerate(names)},
    }


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Class folders below a data root."""
    folder = tmp_path / "data" / "cu_birds"
    write_class_folders(folder, dict.fromkeys(CLASSES, ("a.jpg", "b.jpg", "c.jpg")))
    return folder


@pytest.fixture
def every_layout(tmp_path: Path) -> Path:
    """Birds as TFRecords, as their authors have them and, when their list is gone, as class folders."""
    folder = tmp_path / "origin"
    write_class_folders(folder / "images", dict.fromkeys(CLASSES, ("a.jpg", "b.jpg", "c.jpg")))
    files = [f"{name}/{letter}.jpg" for name in CLASSES for letter in "abc"]
    (folder / "images.txt").write_text("".join(f"{number} {file}\n" for number, file in enumerate(files, 1)))
    write_records(folder, flat([name for names in BIRDS.values() for name in names], 2, 1, 1), (3, 3, 3, 3))
    return folder


def prepare(name: str, origin: Path, size: int = 8) -> Pack:
    return ensure_pack(name, origin=origin, size=size, fresh=True)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def members(pack: Pack) -> dict[str, list[str]]:
    return {split: [pack.classes[label] for label in labels] for split, labels in pack.splits.items()}


def test_records_come_before_the_authors_files_and_these_before_class_folders(every_layout: Path) -> None:
    packs, names = [], []
    for done_with in ("dataset_spec.json", "images.txt", "nothing"):
        packs.append(prepare("cu_birds", every_layout))
        names.append(packs[-1].names[0])
        (every_layout / done_with).unlink(missing_ok=True)
    assert [pack.processing["layout"] for pack in packs] == ["TFRecords", "authors' files", "class folders"]
    for pack in packs:
        assert pack.classes == tuple(CLASSES)
        assert members(pack) == BIRDS
        assert pack.counts.tolist() == [3, 3, 3, 3]
        assert pack.partial is None
    assert np.array_equal(packs[1].images, packs[2].images)
    assert names[1] == names[2] == "images/001.Albatross/a.jpg"


def test_the_chosen_layout_is_reported(birds: Path) -> None:
    assert f"cu_birds: class folders in {birds}\n" in run("prepare", "cu_birds", "--from", birds, "--size", 8).output


@pytest.mark.parametrize("place", ["cu_birds", "cu_birds.zip", "meta_dataset/cu_birds", "meta_dataset/cu_birds.zip"])
def test_every_place_below_a_data_root_gives_the_same_images(birds: Path, zipped: Zipped, place: str) -> None:
    images = np.array(prepare("cu_birds", birds).images)
    root = birds.parent
    moved = zipped(birds) if place.endswith(".zip") else birds
    (root / place).parent.mkdir(exist_ok=True)
    moved.rename(root / place)
    pack = ensure_pack("cu_birds", data_root=root, size=8, fresh=True)
    assert np.array_equal(pack.images, images)
    assert members(pack) == BIRDS


def test_a_zip_can_be_named(birds: Path, zipped: Zipped) -> None:
    done = run("prepare", "cu_birds", "--from", zipped(birds), "--size", 8)
    assert "12 images, classes: 2 train, 1 val, 1 test" in done.output


def test_a_zip_with_an_entry_that_points_outside_is_refused(birds: Path, zipped: Zipped) -> None:
    with zipfile.ZipFile(zipped(birds), "a") as archive:
        archive.writestr("cu_birds/../../002.Bobolink/d.jpg", picture(1))
    with pytest.raises(DataError, match=r"cu_birds\.zip has the entry .*, which points outside"):
        ensure_pack("cu_birds", data_root=birds.parent)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"is not in .*nowhere.*; get .*--from PATH") as caught:
        ensure_pack("cu_birds", data_root=tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / "cu_birds") in str(caught.value)


def test_a_folder_with_none_of_the_layouts(birds: Path) -> None:
    for name in CLASSES:
        (birds / name).rename(birds / f"of {name}")
    with pytest.raises(DataNotFoundError, match=r"cu_birds: .* is not in .*data/cu_birds; get "):
        prepare("cu_birds", birds)


def test_a_slash_in_the_name_of_a_class_is_an_underscore_in_that_of_its_folder(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "aircraft", {name.replace("/", "_"): ("a.jpg",) for name in ["F-16A/B", "737-200"]})
    pack = prepare("aircraft", tmp_path / "aircraft")
    assert members(pack) == {"train": ["737-200"], "val": ["F-16A/B"], "test": []}
    assert pack.partial == "partial (2 of 3 classes, 1 per class)"
    assert pack.names[1] == "F-16A_B/a.jpg"


def test_a_class_folder_that_no_split_has_suggests_the_nearest(birds: Path) -> None:
    (birds / "004.Ani").rename(birds / "004.Any")
    with pytest.raises(DataError, match=r"cu_birds: the class '004\.Any' is in no split; did you mean '004\.Ani'\?"):
        prepare("cu_birds", birds)
    (birds / "004.Any").rename(birds / "zebra")
    with pytest.raises(DataError, match="the class 'zebra' is in no split; remove it"):
        prepare("cu_birds", birds)


def test_a_class_folder_without_images(birds: Path) -> None:
    for path in (birds / "003.Auklet").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"the folder 003\.Auklet has no images"):
        prepare("cu_birds", birds)


def test_an_unreadable_image_is_named_and_leaves_no_pack(birds: Path, cache: Path) -> None:
    (birds / "003.Auklet" / "b.jpg").write_bytes(picture(2)[:-40])
    with pytest.raises(DataError, match=r"003\.Auklet/b\.jpg cannot be decoded"):
        prepare("cu_birds", birds)
    assert not list(cache.rglob("pack.json"))


@pytest.mark.parametrize(
    ("left_out", "stamp"),
    [
        ([f"{name}/a.jpg" for name in CLASSES], "partial (2 per class)"),
        (
            ["003.Auklet/a.jpg", "002.Bobolink/a.jpg", "002.Bobolink/b.jpg"],
            "partial (train 3, val 2, test 1 per class)",
        ),
        (["001.Albatross/a.jpg", "001.Albatross/b.jpg"], "partial (1–3 per class)"),
        (["003.Auklet"], "partial (3 of 4 classes, 3 per class)"),
        (["003.Auklet", "002.Bobolink/b.jpg"], "partial (3 of 4 classes, train 3, test 2 per class)"),
        (["003.Auklet", "004.Ani/b.jpg"], "partial (3 of 4 classes, 2–3 per class)"),
    ],
)
def test_what_is_there_of_a_source_is_stamped_on_its_pack(birds: Path, left_out: list[str], stamp: str) -> None:
    for name in left_out:
        shutil.rmtree(birds / name) if (birds / name).is_dir() else (birds / name).unlink()
    assert f"; {stamp}; " in run("prepare", "cu_birds", "--from", birds, "--size", 8).output
    assert f"; {stamp}; " in run("verify", "cu_birds", "--size", 8).output
    assert json.loads((ensure_pack("cu_birds", size=8).folder / "pack.json").read_text())["partial"] == stamp


def test_images_too_many_do_not_make_up_for_a_class(birds: Path) -> None:
    (birds / "003.Auklet").rename(birds.parent / "auklet")
    for place in birds.iterdir():
        (place / "d.jpg").write_bytes(picture(3, 3))
    assert prepare("cu_birds", birds).partial == "partial (3 of 4 classes, 4 per class)"


def test_more_images_than_there_are_do_not_pass_for_a_partial_source(birds: Path) -> None:
    (birds / "004.Ani" / "d.jpg").write_bytes(picture(1, 3))
    prepare("cu_birds", birds)
    with pytest.raises(DataError, match="has 13 images instead of 12"):
        verify("cu_birds", size=8)


def test_a_record_file_that_is_absent_makes_it_partial(every_layout: Path) -> None:
    (every_layout / "2.tfrecords").unlink()
    pack = prepare("cu_birds", every_layout)
    assert pack.partial == "partial (3 of 4 classes, 3 per class)"
    assert members(pack) == {**BIRDS, "val": []}


def test_the_records_say_how_many_images_are_all(tmp_path: Path) -> None:
    names = [name for members in BIRDS.values() for name in members]
    write_records(tmp_path / "few", flat(names, 2, 1, 1), (2, 1, 1, 1))
    assert prepare("cu_birds", tmp_path / "few").partial is None


def test_records_whose_names_are_numbers(tmp_path: Path) -> None:
    write_records(tmp_path / "signs", flat([0, 1], 0, 0, 2), (2, 2))
    pack = prepare("traffic_sign", tmp_path / "signs")
    assert members(pack) == {"train": [], "val": [], "test": SIGNS["test"]}
    assert pack.images[2, :, 4, 4].tolist() == pytest.approx([50, 0, 0], abs=4)
    assert (pack.partial, pack.tracks) == (None, None)
    write_records(tmp_path / "signs", flat([0, 7], 0, 0, 2), (2, 2))
    with pytest.raises(DataError, match="traffic_sign: the class '7' is in no split"):
        prepare("traffic_sign", tmp_path / "signs")


def test_images_of_a_class_with_the_same_track_show_the_same_sign(tmp_path: Path) -> None:
    files = ("00000_00000.jpg", "00000_00001.jpg", "00002_00000.jpg")
    write_class_folders(tmp_path / "signs", {name.replace("/", "_"): files for name in SIGNS["test"]})
    pack = prepare("traffic_sign", tmp_path / "signs")
    assert pack.tracks is not None
    assert pack.tracks.tolist() == [0, 0, 1, 2, 2, 3]
    assert load_pack(pack.folder).tracks is not None


def test_names_that_do_not_tell_of_tracks(tmp_path: Path) -> None:
    files = {"00.Speed limit (20km_h)": ("00000_00000.jpg",), "01.No passing": ("sign.jpg",)}
    write_class_folders(tmp_path / "signs", files)
    assert prepare("traffic_sign", tmp_path / "signs").tracks is None


def test_a_hierarchy_has_the_labels_of_the_classes_that_are_there(tmp_path: Path) -> None:
    specification = {
        "__class__": "BiLevelDatasetSpecification",
        "superclasses_per_split": {"TRAIN": 1, "VALID": 1, "TEST": 1},
        "classes_per_superclass": {"0": 2, "1": 1, "2": 1},
        "class_names": {"0": "004.Ani", "1": "001.Albatross", "2": "003.Auklet", "3": "002.Bobolink"},
    }
    write_records(tmp_path / "birds", specification, (1, 1, 1, 1))
    whole = prepare("cu_birds", tmp_path / "birds")
    assert whole.hierarchy == {"kind": "superclasses", "nodes": {"train": [[0, 3]], "val": [[2]], "test": [[1]]}}
    (tmp_path / "birds" / "1.tfrecords").unlink()
    (tmp_path / "birds" / "2.tfrecords").unlink()
    part = prepare("cu_birds", tmp_path / "birds")
    assert part.classes == ("002.Bobolink", "004.Ani")
    assert part.hierarchy == {"kind": "superclasses", "nodes": {"train": [[1]], "val": [], "test": [[0]]}}


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=4), most=st.integers(1, 40))
def test_the_most_images_of_a_class_are_evenly_spaced(counts: list[int], most: int) -> None:
    card = load_card("cu_birds").model_copy(update={"most": most})
    classes = {f"{label}": [FileImage(Path("x"), f"{n:03}.jpg") for n in range(c)] for label, c in enumerate(counts)}
    splits = {"train": list(classes), "val": [], "test": []}
    prepared = arrange(card, "metadataset", 8, Listing(classes), splits, layout="files")
    for label, count in enumerate(counts):
        kept = [int(name[:3]) for name, at in zip(prepared.names, prepared.labels, strict=True) if at == label]
        gaps = np.diff([*kept, count])
        assert len(kept) == min(count, most)
        assert kept[0] == 0
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1
