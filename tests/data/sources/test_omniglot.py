from __future__ import annotations

import io
import json
import os
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tfrecord import TFRecordWriter

from fsbench.data.prepare import download, ensure_pack, verify
from fsbench.errors import DataError, DataNotFoundError, UsageError

Zipped = Callable[[Path], Path]


def test_rotations_are_classes_of_the_vinyals_variant(characters: Path) -> None:
    pack = ensure_pack("omniglot", data_root=characters)
    assert pack.images.shape == (480, 1, 28, 28)
    assert pack.counts.tolist() == [20] * 24
    assert list(pack.classes) == sorted(pack.classes)
    assert {split: len(labels) for split, labels in pack.splits.items()} == {"train": 12, "val": 4, "test": 8}
    assert {pack.classes[label].rpartition("/")[0] for label in pack.splits["val"]} == {"Greek/character02"}
    assert pack.names[0] == "Greek/character01/rot000/0003_01"


def test_ink_is_255_and_a_rotation_turns_counter_clockwise(characters: Path) -> None:
    pack = ensure_pack("omniglot", data_root=characters)
    first = pack.first[pack.classes.index("Latin/character01/rot000")]
    upright, quarter = pack.images[first, 0], pack.images[first + 20, 0]
    # the ink is drawn at rows 5 to 24 and columns 1 to 40 of 105
    expected = np.zeros((105, 105))
    expected[5:25, 1:41] = 255
    assert upright.max() == 255
    assert upright.sum() * (105 / 28) ** 2 == pytest.approx(expected.sum(), rel=0.05)
    assert upright[:7].sum() > 0.95 * upright.sum()  # above
    assert quarter[14:, :7].sum() > 0.95 * quarter.sum()  # what was above and to the left is left and below
    assert np.array_equal(np.rot90(upright), quarter)


def test_the_original_variant_follows_the_archives(characters: Path) -> None:
    pack = ensure_pack("omniglot:original", data_root=characters)
    names = {split: {pack.classes[label] for label in labels} for split, labels in pack.splits.items()}
    assert names == {
        "train": {"Latin/character01", "Latin/character02"},
        "val": {"Greek/character01", "Greek/character02"},
        "test": {"Tengwar/character01", "Tengwar/character02"},
    }
    assert pack.folder != ensure_pack("omniglot", data_root=characters).folder


def test_the_metadataset_variant_is_the_original_one_with_alphabets_together(characters: Path) -> None:
    original = ensure_pack("omniglot:original", data_root=characters)
    pack = ensure_pack("omniglot:metadataset", data_root=characters)
    assert pack.classes == original.classes
    assert np.array_equal(pack.images, original.images)
    assert pack.hierarchy == {"kind": "superclasses", "nodes": {"train": [[2, 3]], "val": [[0, 1]], "test": [[4, 5]]}}
    assert original.hierarchy is None


def test_the_metadataset_variant_comes_from_records_too(characters: Path, tmp_path: Path) -> None:
    expected = ensure_pack("omniglot:metadataset", data_root=characters, size=105)
    origin = tmp_path / "records"
    origin.mkdir()
    order = [2, 3, 0, 1, 4, 5]  # the classes by split
    stored = {
        "__class__": "BiLevelDatasetSpecification",
        "name": "omniglot",
        "superclasses_per_split": {"TRAIN": 1, "VALID": 1, "TEST": 1},
        "classes_per_superclass": {"0": 2, "1": 2, "2": 2},
        "images_per_class": {str(label): 20 for label in range(6)},
        "superclass_names": {"0": "Latin", "1": "Greek", "2": "Tengwar"},
        "class_names": {str(i): expected.classes[label].replace("/", "-") for i, label in enumerate(order)},
        "path": "records",
        "file_pattern": "{}.tfrecords",
    }
    (origin / "dataset_spec.json").write_text(json.dumps(stored))
    for place, label in enumerate(order):
        writer = TFRecordWriter(str(origin / f"{place}.tfrecords"))
        for drawing in sorted(next(characters.rglob(f"images_*/{expected.classes[label]}")).iterdir()):
            stream = io.BytesIO()
            ImageOps.invert(Image.open(drawing).convert("RGB")).save(stream, "JPEG")  # so Meta-Dataset converts
            writer.write({"image": (stream.getvalue(), "byte"), "label": (place, "int")})
        writer.close()
    pack = ensure_pack("omniglot:metadataset", origin=origin, size=105, fresh=True)
    assert (pack.classes, pack.splits, pack.hierarchy) == (expected.classes, expected.splits, expected.hierarchy)
    assert pack.partial is None
    assert abs(pack.images.astype(int) - expected.images).mean() < 2  # JPEG


@pytest.mark.parametrize("place", ["", "python", "omniglot-py"])
def test_zips_and_folders_in_every_usual_place_give_the_same_pack(
    characters: Path, zipped: Zipped, tmp_path: Path, place: str
) -> None:
    digest = ensure_pack("omniglot", data_root=characters).digest
    other = tmp_path / "other"
    shutil.copytree(characters / "omniglot", other / place)
    junk = other / place / "images_background" / "__MACOSX" / "Latin" / "character01"
    junk.mkdir(parents=True)
    (junk / "0001_01.png").write_bytes(b"junk")
    (other / place / "images_background" / "Latin" / "character01" / "._0001_01.png").write_bytes(b"junk")
    (other / place / "images_background" / ".DS_Store").write_bytes(b"junk")
    zipped(other / place / "images_background")
    assert ensure_pack("omniglot", origin=other, fresh=True).digest == digest


def test_a_size_of_its_own(characters: Path) -> None:
    assert ensure_pack("omniglot", data_root=characters, size=14).images.shape == (480, 1, 14, 14)


def test_missing_files_are_not_found_where_they_were_looked_for(small_cards: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"images_background\.zip is not in .*--from PATH.*--download"
    ) as caught:
        ensure_pack("omniglot", data_root=tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / "omniglot") in str(caught.value)


def test_a_truncated_zip_is_named(characters: Path, zipped: Zipped) -> None:
    archive = zipped(characters / "omniglot" / "images_background")
    archive.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"images_background\.zip .*bytes.*truncated"):
        ensure_pack("omniglot", data_root=characters)


def test_a_damaged_entry_of_a_zip_is_named(characters: Path, zipped: Zipped) -> None:
    archive = zipped(characters / "omniglot" / "images_evaluation")
    content = bytearray(archive.read_bytes())
    content[content.index(b"\x89PNG") + 40] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"images_evaluation\.zip/.*/Tengwar/character01/0005_01\.png cannot be read"):
        ensure_pack("omniglot", data_root=characters)


def test_a_missing_alphabet_is_named(characters: Path) -> None:
    shutil.rmtree(characters / "omniglot" / "images_background" / "Greek")
    with pytest.raises(DataError, match=r"images_background: alphabets missing: 'Greek' \(1 of 2"):
        ensure_pack("omniglot", data_root=characters)


def test_an_alphabet_too_many_is_named(characters: Path) -> None:
    part = characters / "omniglot" / "images_evaluation"
    shutil.copytree(part / "Tengwar", part / "Sindarin")
    with pytest.raises(DataError, match="images_evaluation: alphabets not expected: 'Sindarin'"):
        ensure_pack("omniglot", data_root=characters)


def test_a_missing_character_is_named(characters: Path) -> None:
    shutil.rmtree(characters / "omniglot" / "images_background" / "Latin" / "character02")
    with pytest.raises(DataError, match=r"characters of Latin missing: 2"):
        ensure_pack("omniglot", data_root=characters)


def test_a_wrong_count_of_drawings_is_named_with_the_count(characters: Path) -> None:
    (characters / "omniglot" / "images_background" / "Latin" / "character02" / "0002_07.png").unlink()
    with pytest.raises(DataError, match="Latin/character02 has 19 drawings instead of 20"):
        ensure_pack("omniglot", data_root=characters)


def test_an_unreadable_drawing_is_named_and_leaves_no_pack(characters: Path, cache: Path) -> None:
    drawing = characters / "omniglot" / "images_background" / "Latin" / "character02" / "0002_07.png"
    drawing.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0002_07\.png cannot be decoded"):
        ensure_pack("omniglot", data_root=characters)
    assert not list(cache.rglob("pack.json"))


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, omniglot: Callable[..., object]) -> None:
    module = types.ModuleType("torchvision.datasets")
    module.Omniglot = omniglot  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


def test_what_torchvision_downloads_is_found(characters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: str, *, background: bool, download: bool) -> None:
        part = "images_background" if background else "images_evaluation"
        shutil.copytree(characters / "omniglot" / part, Path(root) / "omniglot-py" / part)

    fake_torchvision(monkeypatch, fetch)
    download("omniglot", data_root=tmp_path / "fetched")
    assert len(ensure_pack("omniglot", data_root=tmp_path / "fetched").images) == 480


def test_a_failed_download_says_why(small_cards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str, *, background: bool, download: bool) -> None:
        raise RuntimeError("File not found or corrupted.")

    fake_torchvision(monkeypatch, fail)
    with pytest.raises(DataError, match=r"cannot be downloaded \(File not found or corrupted"):
        download("omniglot", data_root=tmp_path)


def test_a_source_that_cannot_be_downloaded_says_how_to_get_it(small_cards: Path, tmp_path: Path) -> None:
    path = small_cards / "omniglot" / "card.toml"
    path.write_text(path.read_text().replace("download = true", ""))
    with pytest.raises(UsageError, match="cannot be downloaded; get both archives"):
        download("omniglot", data_root=tmp_path)


@pytest.mark.skipif("FSBENCH_TEST_DATA" not in os.environ, reason="FSBENCH_TEST_DATA names no folder of real data")
def test_the_real_omniglot_has_the_published_counts() -> None:
    pack = ensure_pack("omniglot", data_root=Path(os.environ["FSBENCH_TEST_DATA"]))
    assert {split: len(labels) for split, labels in pack.splits.items()} == {"train": 4112, "val": 688, "test": 1692}
    assert set(pack.counts.tolist()) == {20}
    assert pack.images.shape == (129_840, 1, 28, 28)
    assert 0.07 < pack.images[::100].mean() / 255 < 0.11  # strokes are thin
    assert verify("omniglot").digest == pack.digest
