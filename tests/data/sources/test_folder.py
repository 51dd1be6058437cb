from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsbench.data.prepare import prepare_own
from fsbench.data.sources.folder import OwnSource, SplitRule, read_rule
from fsbench.errors import DataError, DataNotFoundError, UsageError

Zipped = Callable[[Path], Path]
DRAWN = (0.64, 0.16, 0.2)


def test_images_of_every_kind_become_squares_in_the_order_of_their_names(birds: Path) -> None:
    pack = prepare_own("birds", birds, OwnSource(size=12))
    assert pack.images.shape == (30, 3, 12, 12)
    assert pack.classes == tuple(f"bird{label:02}" for label in range(10))
    assert list(pack.names[:4]) == ["bird00/a.png", "bird00/b.BMP", "bird00/c.jpg", "bird01/a.png"]
    assert pack.images[3, :, 5, 5].tolist() == [20, 0, 255]
    assert pack.images[4, :, 5, 5].tolist() == [20, 20, 20]  # grey


def test_grey_images(birds: Path) -> None:
    assert prepare_own("birds", birds, OwnSource(size=12, channels=1)).images.shape == (30, 1, 12, 12)


def test_shrinking_averages(tmp_path: Path) -> None:
    stripes = np.zeros((80, 80), dtype=np.uint8)
    stripes[:, ::2] = 255
    for label in range(3):
        (tmp_path / "stripes" / str(label)).mkdir(parents=True)
        Image.fromarray(stripes).save(tmp_path / "stripes" / str(label) / "a.png")
    images = prepare_own("stripes", tmp_path / "stripes", OwnSource(size=8, fractions=(1, 0, 0))).images
    assert (np.abs(images.astype(int) - 128) < 20).all()


def test_transparency_is_white_and_the_cameras_orientation_is_applied(tmp_path: Path) -> None:
    (tmp_path / "own" / "x").mkdir(parents=True)
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "own" / "x" / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    half = Image.new("RGB", (16, 16))
    half.paste((255, 255, 255), (0, 0, 16, 8))
    half.save(tmp_path / "own" / "x" / "turned.png", exif=exif)
    clear, turned = prepare_own("own", tmp_path / "own", OwnSource(size=8, fractions=(1, 0, 0))).images
    assert clear.min() == 255
    assert turned[:, :3].max() == 0
    assert turned[:, 5:].min() == 255


@pytest.mark.parametrize("above", ["", "some/where"])
def test_a_zip_gives_the_same_pack_as_its_folder_whatever_lies_above(
    birds: Path, zipped: Zipped, tmp_path: Path, above: str
) -> None:
    pack = prepare_own("birds", birds, OwnSource(size=8))
    moved = tmp_path / "top"
    shutil.copytree(birds, moved / above / "birds")
    (moved / "__MACOSX").mkdir()
    (moved / "__MACOSX" / "._a.png").write_bytes(b"junk")
    (moved / "readme.txt").write_text("birds")
    again = prepare_own("birds", zipped(moved), OwnSource(size=8), fresh=True)
    assert again.classes == pack.classes
    assert np.array_equal(again.images, pack.images)


def test_classes_below_several_parents_carry_their_path(birds: Path, tmp_path: Path) -> None:
    shutil.copytree(birds / "bird00", tmp_path / "own" / "wild" / "robin")
    shutil.copytree(birds / "bird01", tmp_path / "own" / "tame" / "robin")
    assert prepare_own("own", tmp_path / "own", OwnSource(size=8, fractions=(0.5, 0, 0.5))).classes == (
        "tame/robin",
        "wild/robin",
    )


def test_an_unreadable_image_stops_with_its_name(birds: Path, cache: Path) -> None:
    (birds / "bird04" / "b.BMP").write_bytes(b"no image")
    with pytest.raises(
        DataError,
        match=r"bird04/b\.BMP cannot be decoded as an image \(it is none of BMP, GIF, JPEG, PNG, PPM, WEBP, or "
        r"damaged\); replace it or remove it, or leave such images out by --skip-unreadable\.$",
    ):
        prepare_own("birds", birds, OwnSource(size=8))
    assert not list(cache.rglob("pack.json"))


def test_unreadable_images_are_skipped_listed_and_counted_when_asked(
    birds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (birds / "bird04" / "b.BMP").write_bytes(b"no image")
    whole = (birds / "bird07" / "c.jpg").read_bytes()
    (birds / "bird07" / "c.jpg").write_bytes(whole[: len(whole) - 40])
    pack = prepare_own("birds", birds, OwnSource(size=8, skip_unreadable=True))
    assert pack.counts.tolist() == [3, 3, 3, 3, 2, 3, 3, 2, 3, 3]
    assert pack.processing["skipped"] == ["bird04/b.BMP", "bird07/c.jpg"]
    assert pack.partial == "partial (2 unreadable images skipped)"
    assert "bird04/a.png" in pack.names
    assert "bird04/b.BMP" not in pack.names
    skipped = [line.partition(" cannot be decoded")[0] for line in caplog.messages[:2]]
    assert skipped == [f"skipped: {birds / file}" for file in pack.processing["skipped"]]
    assert all(line.endswith(")") for line in caplog.messages[:2])  # nothing is left to do
    assert caplog.messages[2] == "2 unreadable images skipped of 30"


def test_a_class_without_any_readable_image_is_named(birds: Path) -> None:
    for path in (birds / "bird04").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="the class 'bird04' has no readable image"):
        prepare_own("birds", birds, OwnSource(size=8, skip_unreadable=True))


def test_an_image_of_absurd_size_is_named(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bird00/a\.png is too large to decode"):
        prepare_own("birds", birds, OwnSource(size=8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # beyond twice the limit Pillow has another exception
    with pytest.raises(DataError, match=r"bird00/a\.png is too large to decode"):
        prepare_own("birds", birds, OwnSource(size=8))


def test_an_entry_that_unpacks_to_more_than_an_image_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsbench.files.tree.LARGEST", 10_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("robin/a.png", bytes(10_001))
    with pytest.raises(DataError, match=r"robin/a\.png cannot be read .* 10,001 bytes, more than 10,000"):
        prepare_own("own", tmp_path / "bomb.zip", OwnSource(size=8, fractions=(1, 0, 0)))


@pytest.mark.parametrize("entry", ["../../wren/a.png", "/wren/a.png", "robin/../../a.png"])
def test_a_zip_with_an_entry_that_points_outside_is_refused(birds: Path, tmp_path: Path, entry: str) -> None:
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.write(birds / "bird00" / "a.png", "robin/a.png")
        archive.write(birds / "bird00" / "a.png", "/placeholder")
        archive.infolist()[1].filename = entry
    with pytest.raises(DataError, match="points outside of it"):
        prepare_own("own", tmp_path / "slip.zip", OwnSource(size=8, fractions=(1, 0, 0)))


def test_more_than_eight_bits_a_pixel_are_refused(birds: Path) -> None:
    Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16)).save(birds / "bird00" / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png cannot be decoded .*more than 8 bits"):
        prepare_own("birds", birds, OwnSource(size=8))


@pytest.mark.parametrize("link", ["bird00/up", "other", "bird00/z.png"])
@pytest.mark.parametrize("target", ["birds", "birds/bird01", "/", "elsewhere", "elsewhere/private.png"])
def test_a_link_to_a_folder_or_out_of_its_folder_is_refused_by_name(birds: Path, link: str, target: str) -> None:
    shutil.copytree(birds / "bird00", birds.parent / "elsewhere")
    (birds.parent / "elsewhere" / "a.png").rename(birds.parent / "elsewhere" / "private.png")
    (birds / link).symlink_to(birds.parent / target)
    with pytest.raises(DataError, match=rf"has '{link}', which is a link to a folder or out of this one, to '/"):
        prepare_own("birds", birds, OwnSource(size=8))


def test_a_link_to_an_image_beside_it_is_that_image(birds: Path) -> None:
    (birds / "bird00" / "z.png").symlink_to("../bird01/a.png")
    assert len(prepare_own("birds", birds, OwnSource(size=8)).images) == 31


def test_folders_that_link_to_each_other_are_refused(birds: Path) -> None:
    for here in range(3):
        for there in {0, 1, 2} - {here}:
            (birds / f"bird0{here}" / f"to{there}").symlink_to(birds / f"bird0{there}")
    with pytest.raises(DataError, match="which is a link"):
        prepare_own("birds", birds, OwnSource(size=8))


def test_folders_without_end_are_refused(birds: Path) -> None:
    birds.joinpath(*["deeper"] * 40).mkdir(parents=True)
    with pytest.raises(DataError, match="lies too deep"):
        prepare_own("birds", birds, OwnSource(size=8))


@pytest.mark.parametrize(
    ("spoil", "error", "complaint"),
    [
        (lambda birds: (birds / "empty").mkdir(), DataError, "the folder empty has no images"),
        (lambda birds: shutil.copy(birds / "bird00" / "a.png", birds), DataError, r"a\.png lies beside class folders"),
        (lambda birds: [shutil.rmtree(path) for path in birds.iterdir()], DataNotFoundError, "has no class folders"),
        (shutil.rmtree, DataNotFoundError, "does not exist"),
        (lambda birds: (shutil.rmtree(birds), birds.write_text("x")), DataError, "is no complete zip"),
    ],
)
def test_a_folder_without_proper_classes_is_refused(
    birds: Path, spoil: Callable[[Path], object], error: type[Exception], complaint: str
) -> None:
    spoil(birds)
    with pytest.raises(error, match=complaint):
        prepare_own("birds", birds, OwnSource(size=8))


def test_images_without_class_folders_are_refused(birds: Path) -> None:
    with pytest.raises(DataNotFoundError, match="has no class folders"):
        prepare_own("birds", birds / "bird00", OwnSource(size=8))


NAMES = [f"bird{label:02}" for label in range(10)]


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_split_list_decides(birds: Path, tmp_path: Path, suffix: str) -> None:
    lists = {"train": NAMES[5:], "val": [], "test": NAMES[4::-1]}
    path = tmp_path / f"splits{suffix}"
    text = json.dumps(lists) if suffix == ".json" else "\n".join(f"{key} = {names}" for key, names in lists.items())
    path.write_text(text)
    pack = prepare_own("birds", birds, OwnSource(size=8, splits=path))
    assert dict(pack.splits) == {"train": (5, 6, 7, 8, 9), "val": (), "test": (0, 1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("lists", "complaint"),
    [
        ({"train": NAMES, "test": ["bird1"]}, "the class 'bird1', which has no folder; did you mean 'bird1?0?1?'"),
        ({"train": NAMES[:7], "test": NAMES[8:]}, "the class 'bird07' is in no split"),
        ({"train": NAMES, "test": NAMES[3:4]}, "the class 'bird03' is in train and test"),
        ({"train": [*NAMES, "bird03"]}, "the class 'bird03' is twice in train"),
        ({"train": NAMES, "validation": []}, "must map train, val, test"),
        ({"train": "bird00"}, "train in the split list .* is not a list"),
        ([], "must map train, val, test"),
    ],
)
def test_a_split_list_that_does_not_fit_is_refused(birds: Path, tmp_path: Path, lists: object, complaint: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(lists))
    with pytest.raises(UsageError, match=complaint):
        prepare_own("birds", birds, OwnSource(size=8, splits=path))


@pytest.mark.parametrize("name", ["absent.json", "broken.json", "broken.toml"])
def test_a_split_list_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_text("{train")
    with pytest.raises(UsageError, match=f"{name} cannot be read"):
        read_rule(tmp_path / name, DRAWN, 0)


@settings(deadline=None)
@given(
    count=st.integers(30, 200),
    seed=st.integers(0, 2**32),
    parts=st.tuples(st.integers(10, 50), st.integers(10, 50)).map(lambda p: (p[0] / 100, p[1] / 100 * 0.8)),
)
def test_drawn_splits_share_out_all_classes(count: int, seed: int, parts: tuple[float, float]) -> None:
    fractions = (*parts, 1 - sum(parts))
    drawn = SplitRule(None, fractions, seed).apply([str(label) for label in range(count)])
    assert sorted(label for labels in drawn.values() for label in labels) == list(range(count))
    for labels, part in zip(drawn.values(), fractions, strict=True):
        assert labels == sorted(labels)
        assert abs(len(labels) - part * count) <= 1


def test_drawn_splits_depend_on_seed_and_names_only() -> None:
    drawn = SplitRule(None, DRAWN, 0).apply(NAMES)
    assert drawn == {"train": [1, 2, 3, 6, 7, 8], "val": [0, 5], "test": [4, 9]}  # frozen: the same on every machine
    assert drawn != SplitRule(None, DRAWN, 1).apply(NAMES)
    assert [len(labels) for labels in SplitRule(None, DRAWN, 0).apply([str(n) for n in range(100)]).values()] == [
        64,
        16,
        20,
    ]


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.2, -0.2, 0), (0, 0, 0)])
def test_fractions_add_up_to_one(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="do not add up to 1"):
        read_rule(None, fractions, 0)


def test_a_fraction_that_gets_no_class_is_refused() -> None:
    with pytest.raises(UsageError, match=r"0.16 of 3 classes leaves none for val; raise its fraction"):
        SplitRule(None, (0.64, 0.16, 0.2), 0).apply(["a", "b", "c"])
    with pytest.raises(UsageError, match=r"of 2 classes leaves none for \w+; 3 splits need 3 classes"):
        SplitRule(None, (0.64, 0.16, 0.2), 0).apply(["a", "b"])
