"""Small sources that look like the real ones: the cache in a temporary folder, an Omniglot of six characters."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ORIGINAL = {"train": {"Latin": 2}, "val": {"Greek": 2}, "test": {"Tengwar": 2}}
SPLITS = """
[train]
Latin = "1-2"
Greek = "1"

[val]
Greek = "2"

[test]
Tengwar = "1-2"
"""
CARD = """
name = "omniglot"
title = "Omniglot"
description = "Six characters."
licence = "none"
citation = "none"
homepage = "none"
channels = 1
size = 28
files = ["images_background.zip", "images_evaluation.zip"]
obtain = "get both archives from their authors"
download = true

[[variants]]
name = "vinyals"
description = "rotations are classes"
classes = { train = 12, val = 4, test = 8 }
images = 480

[[variants]]
name = "original"
description = "no rotations"
classes = { train = 2, val = 2, test = 2 }
images = 120

[[variants]]
name = "metadataset"
description = "as Meta-Dataset has it"
classes = { train = 2, val = 2, test = 2 }
images = 120
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FSBENCH_CACHE", str(folder))
    monkeypatch.delenv("FSBENCH_DATA", raising=False)
    return folder


@pytest.fixture
def small_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cards of a world where Omniglot has six characters."""
    folder = tmp_path / "cards"
    (folder / "omniglot").mkdir(parents=True)
    (folder / "omniglot" / "card.toml").write_text(CARD)
    (folder / "omniglot" / "vinyals.toml").write_text(SPLITS)
    original = "".join(f'[{s}]\n{a} = "1-{n}"\n' for s, alphabets in ORIGINAL.items() for a, n in alphabets.items())
    (folder / "omniglot" / "original.toml").write_text(original)
    monkeypatch.setattr("fsbench.data.card.cards_folder", lambda: folder)
    return folder


@pytest.fixture
def characters(tmp_path: Path, small_cards: Path) -> Path:
    """A data root whose `omniglot/` holds `images_background/` and `images_evaluation/` as folders."""
    root = tmp_path / "data"
    number = 0
    for split, alphabets in ORIGINAL.items():
        part = "images_evaluation" if split == "test" else "images_background"
        for alphabet, count in alphabets.items():
            for character in range(1, count + 1):
                number += 1
                for drawing in range(1, 21):
                    place = root / "omniglot" / part / alphabet / f"character{character:02}"
                    place.mkdir(parents=True, exist_ok=True)
                    paper = np.ones((105, 105), dtype=bool)
                    paper[5 * number : 5 * number + 20, drawing : drawing + 40] = False
                    Image.fromarray(paper).save(place / f"{number:04}_{drawing:02}.png")
    return root


@pytest.fixture
def zipped() -> Callable[[Path], Path]:
    """Replaces a folder by a zip that holds it."""

    def replace(folder: Path) -> Path:
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder.parent))
        shutil.rmtree(folder)
        return folder.with_suffix(".zip")

    return replace


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A folder of ten class folders `bird00`, ... with three images each, in different formats, sizes and modes."""
    root = tmp_path / "birds"
    for label in range(10):
        place = root / f"bird{label:02}"
        place.mkdir(parents=True)
        Image.new("RGB", (40, 30), (20 * label, 0, 255)).save(place / "a.png")
        Image.new("L", (16, 50), 20 * label).save(place / "b.BMP")
        Image.new("RGB", (9, 9), (0, 20 * label, 0)).save(place / "c.jpg")
    return root
