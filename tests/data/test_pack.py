from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fsbench.data.decoding import Undecoded
from fsbench.data.listing import FileImage, Hierarchy
from fsbench.data.pack import Pack
from fsbench.data.pack_files import load_pack
from fsbench.data.prepared import Prepared, write_pack
from fsbench.errors import DataError


def prepared() -> Prepared:
    return Prepared(
        images=np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 3, 4, 4),
        labels=np.array([0, 0, 1, 2, 2]),
        names=["a/1", "a/2", "b/1", "ç/1", "ç/2"],
        classes=["a", "b", "ç"],
        splits={"train": [0, 2], "test": [1]},
        processing={"size": 4},
        partial="partial (5 images)",
        tracks=[4, 4, 0, 7, 2],
        hierarchy=Hierarchy("graph", {"train": [["ç", "a"], ["a"]], "val": [["x"]], "test": [["x", "b"]]}),
    )


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return write_pack(tmp_path / "pack", "letters", prepared())


def test_a_pack_is_read_as_it_was_written(pack: Pack) -> None:
    again = load_pack(pack.folder, verify=True)
    assert again.source == "letters"
    assert np.array_equal(again.images, prepared().images)
    assert again.labels.tolist() == [0, 0, 1, 2, 2]
    assert again.names.tolist() == ["a/1", "a/2", "b/1", "ç/1", "ç/2"]
    assert again.classes == ("a", "b", "ç")
    assert again.splits == {"train": (0, 2), "val": (), "test": (1,)}
    assert (again.processing, again.partial, again.digest) == ({"size": 4}, "partial (5 images)", pack.digest)
    assert again.tracks is not None
    assert again.tracks.tolist() == [4, 4, 0, 7, 2]
    assert again.counts.tolist() == [2, 1, 2]
    assert again.first.tolist() == [0, 2, 3]
    assert isinstance(again.images, np.memmap)


def test_a_hierarchy_has_labels_and_only_classes_that_are_there(pack: Pack) -> None:
    nodes = {"train": [[0, 2], [0]], "val": [], "test": [[1]]}
    assert load_pack(pack.folder).hierarchy == {"kind": "graph", "nodes": nodes}


def test_tracks_and_a_hierarchy_may_be_unknown(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack", "letters", prepared())
    plain = write_pack(tmp_path / "pack", "letters", replace(prepared(), tracks=None, hierarchy=None))
    assert plain.tracks is None
    assert plain.hierarchy is None


def test_the_digest_is_that_of_the_content(pack: Pack, tmp_path: Path) -> None:
    assert write_pack(tmp_path / "elsewhere", "letters", prepared()).digest == pack.digest
    for change in (
        {"images": prepared().images[::-1]},
        {"names": ["a/1", "a/2", "b/1", "ç/1", "ç/3"]},
        {"classes": ["a", "b", "c"]},
        {"splits": {"train": [0, 1], "test": [2]}},
        {"processing": {"size": 5}},
        {"partial": None},
        {"tracks": [4, 4, 0, 7, 7]},
        {"tracks": None},
        {"hierarchy": Hierarchy("superclasses", {"train": [["ç", "a"], ["a"]], "test": [["b"]]})},
        {"hierarchy": None},
    ):
        assert write_pack(tmp_path / "other", "letters", replace(prepared(), **change)).digest != pack.digest


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"names": ["a/1"]}, "5 images, 5 labels and 1 names do not fit"),
        ({"labels": np.array([0, 0, 1, 2])}, "5 images, 4 labels and 5 names do not fit"),
        ({"labels": np.array([0, 1, 0, 2, 2])}, "must be sorted by class"),
        ({"tracks": [4, 4, 0, 7]}, "5 labels and 4 tracks do not fit"),
        ({"classes": ["a", "b"]}, "a label names none of the 2 classes"),
        ({"classes": ["a", "b", "a"]}, "a name of a class is there twice, 'a'"),
        ({"splits": {"train": [0, 1], "test": [2, 1]}}, "a class in the splits is there twice, 'b'"),
        ({"splits": {"train": [0, 3]}}, "a label names none of the 3 classes"),
        ({"names": ["a/1", "a/1", "b/1", "c/1", "c/2"]}, "a name of an image of a class is there twice, 'a: a/1'"),
    ],
)
def test_arrays_that_do_not_fit_are_not_written(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        write_pack(tmp_path / "pack", "letters", replace(prepared(), **change))  # type: ignore[arg-type]
    assert not (tmp_path / "pack").exists()


def edit(folder: Path, key: str, value: object) -> None:
    content = json.loads((folder / "pack.json").read_text())
    (folder / "pack.json").write_text(json.dumps({**content, key: value}))


def truncate(path: Path, size: int) -> None:
    content = path.read_bytes()[:size]
    path.unlink()  # the pack that is open keeps its file: a mapped file that shrinks kills its reader
    path.write_bytes(content)


def labels_of_another_pack(folder: Path) -> None:
    np.save(folder / "labels.npy", np.array([0, 1, 1, 2, 2]))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "pack.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "pack.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "pack.json").write_text("[]"), "cannot be read"),
        (lambda folder: edit(folder, "classes", ["x", "y", "z"]), "does not match its own hash"),
        (lambda folder: edit(folder, "digest", "0"), "does not match its own hash"),
        (lambda folder: (folder / "images.npy").unlink(), "cannot be read"),
        (lambda folder: truncate(folder / "images.npy", 0), "cannot be read"),
        (lambda folder: truncate(folder / "images.npy", 200), "cannot be read"),
        (labels_of_another_pack, "its arrays do not fit"),
        (lambda folder: (folder / "tracks.npy").unlink(), "cannot be read"),
        (lambda folder: np.save(folder / "tracks.npy", np.arange(4)), "its arrays do not fit"),
    ],
)
def test_a_damaged_pack_says_so_and_what_to_do(pack: Pack, damage: Callable[[Path], object], complaint: str) -> None:
    damage(pack.folder)
    with pytest.raises(DataError, match=f"{complaint}.*delete .* and prepare the source again") as caught:
        load_pack(pack.folder)
    assert str(pack.folder) in str(caught.value)


def test_verifying_finds_other_tracks(pack: Pack) -> None:
    np.save(pack.folder / "tracks.npy", np.arange(5))
    with pytest.raises(DataError, match=r"damaged \(tracks\.npy does not match its hash\)"):
        load_pack(pack.folder, verify=True)


def test_images_are_decoded_into_the_pack(tmp_path: Path) -> None:
    items = []
    for number, image in enumerate(prepared().images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{number}.png")
        items.append(FileImage(tmp_path, f"{number}.png"))
    decoded = write_pack(tmp_path / "decoded", "letters", replace(prepared(), images=Undecoded(items, 4, 3)))
    assert decoded.digest == write_pack(tmp_path / "pack", "letters", prepared()).digest
    with pytest.raises(DataError, match="4 images, 5 labels and 5 names do not fit"):
        write_pack(tmp_path / "fewer", "letters", replace(prepared(), images=Undecoded(items[:4], 4, 3)))


def test_a_try_that_fails_while_decoding_leaves_the_pack_that_was_there(pack: Pack) -> None:
    undecodable = Undecoded([FileImage(pack.folder, "absent.png")] * len(pack.labels), 4, 3)
    with pytest.raises(DataError, match=r"absent\.png"):
        write_pack(pack.folder, "letters", replace(prepared(), images=undecodable))
    assert load_pack(pack.folder, verify=True).digest == pack.digest


def test_names_of_a_pack_that_was_prepared_again_are_not_taken(pack: Pack) -> None:
    renamed = [f"new {name}" for name in prepared().names]
    again = write_pack(pack.folder, "letters", replace(prepared(), names=renamed))
    assert again.names.tolist() == renamed
    with pytest.raises(DataError, match="was prepared again while it was in use; run the same command again"):
        pack.names_of(slice(None))


def test_a_pack_that_was_being_replaced_is_no_pack(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    save = np.save

    def fail(file: BinaryIO, array: npt.NDArray[Any], **options: Any) -> None:
        if array.dtype != np.uint8:
            raise KeyboardInterrupt
        save(file, array, **options)  # the images

    monkeypatch.setattr("numpy.save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_pack(pack.folder, "letters", prepared())
    with pytest.raises(DataError, match="cannot be read"):
        load_pack(pack.folder)


def test_a_blank_pack_has_the_sizes_of_a_source_and_nothing_else() -> None:
    images = np.broadcast_to(np.uint8(0), (10, 3, 8, 8))
    pack = Pack.blank("birds", images, 4, {"train": range(3), "val": (), "test": [3]}, digest="birds:all")
    assert pack.images is images
    assert pack.counts.tolist() == [3, 2, 3, 2]
    assert len(pack.classes) == 4
    assert pack.splits == {"train": (0, 1, 2), "val": (), "test": (3,)}
    assert (pack.source, pack.digest) == ("birds", "birds:all")
    pack.check_unchanged()
