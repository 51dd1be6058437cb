from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fsbench.cli.main import main
from fsbench.data.duplicates import duplicates_across_splits
from fsbench.data.prepared import Prepared, write_pack

CLASSES = ("a", "b", "c", "d")


def found(folder: Path, pixels: list[list[int]], splits: dict[str, list[int]]) -> list[tuple[str, str]]:
    """The duplicates in a pack whose images have one colour each: `pixels` has those of every class."""
    flat = [(label, colour) for label, colours in enumerate(pixels) for colour in colours]
    images = np.array([colour for _, colour in flat], dtype=np.uint8)
    prepared = Prepared(
        images=np.broadcast_to(images[:, None, None, None], (len(flat), 1, 4, 4)),
        labels=np.array([label for label, _ in flat]),
        names=[f"{CLASSES[label]}/{place}" for place, (label, _) in enumerate(flat)],
        classes=CLASSES[: len(pixels)],
        splits=splits,
        processing={},
    )
    return duplicates_across_splits(write_pack(folder, "few", prepared))


@pytest.mark.parametrize(
    ("pixels", "splits", "pairs"),
    [
        ([[1, 2], [3, 1]], {"train": [0], "test": [1]}, [("b/3", "a/0")]),
        ([[1, 1], [2, 1]], {"train": [0, 1]}, []),
        ([[1, 1], [2, 3]], {"train": [0], "test": [1]}, []),
        ([[1, 1], [1, 1]], {"train": [0], "test": [1]}, [("b/2", "a/0"), ("b/3", "a/0")]),
        ([[1], [1], [1]], {"train": [1], "test": [0, 2]}, [("b/1", "a/0"), ("c/2", "b/1")]),
        ([[1], [1], [1]], {"train": [0], "val": [1], "test": [2]}, [("b/1", "a/0"), ("c/2", "a/0")]),
    ],
)
def test_an_image_that_an_earlier_one_of_another_split_equals(
    tmp_path: Path, pixels: list[list[int]], splits: dict[str, list[int]], pairs: list[tuple[str, str]]
) -> None:
    assert found(tmp_path, pixels, splits) == pairs


@settings(max_examples=30)
@given(
    pixels=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=4, max_size=4),
    places=st.lists(st.sampled_from(["train", "val", "test"]), min_size=4, max_size=4),
)
def test_all_pairs_are_compared(pixels: list[list[int]], places: list[str]) -> None:
    splits = {split: [label for label, place in enumerate(places) if place == split] for split in places}
    images = [(places[label], CLASSES[label], colour) for label, colours in enumerate(pixels) for colour in colours]
    expected = []
    for later, (split, name, colour) in enumerate(images):
        same = [at for at in range(later) if images[at][2] == colour and images[at][0] != split]
        expected += [(f"{name}/{later}", f"{images[at][1]}/{at}") for at in same[:1]]
    with tempfile.TemporaryDirectory() as folder:
        assert found(Path(folder), pixels, splits) == expected


def test_prepare_reports_them(birds: Path) -> None:
    splits = birds.parent / "splits.toml"
    splits.write_text(
        "train = ['bird00', 'bird01', 'bird02', 'bird03', 'bird04']\n"
        "test = ['bird05', 'bird06', 'bird07', 'bird08', 'bird09']\n"
    )
    command = ["prepare", "birds", "--from", str(birds), "--splits", str(splits), "--size", "8", "--fresh"]
    (birds / "bird01" / "d.png").write_bytes((birds / "bird00" / "a.png").read_bytes())
    assert "duplicate" not in CliRunner().invoke(main, ["data", *command]).output
    for label in range(5, 9):
        (birds / f"bird{label:02}" / "d.png").write_bytes((birds / "bird00" / "a.png").read_bytes())
    (birds / "bird06" / "d.png").unlink()
    assert (
        "birds: 3 images have an exact duplicate in another split: bird05/d.png = bird00/a.png; "
        "bird07/d.png = bird00/a.png; bird08/d.png = bird00/a.png\n"
        in CliRunner().invoke(main, ["data", *command]).output
    )
    (birds / "bird06" / "d.png").write_bytes((birds / "bird00" / "a.png").read_bytes())
    assert (
        "4 images have an exact duplicate in another split: bird05/d.png = "
        in CliRunner().invoke(main, ["data", *command]).output
    )
