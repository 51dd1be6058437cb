"""A row whose model cannot be built is refused before another is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import refused
from helpers.tiny import write_suite

pytestmark = pytest.mark.usefixtures("tiny_cache")

SMALL = """
import torch
from torch import nn
from fsbench.backbones.base import Backbone

class Small(Backbone):
    def __init__(self, *, channels, size, width, maps=False):
        super().__init__()
        if maps:
            raise {error}
        self.label, self.shape, self.features = "Small", (width, 1, 1), width
        self.last = nn.Linear(channels * size * size, width)

    def forward(self, images, leading=None):
        return self.last(images.flatten(1))
"""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("ValueError('Small has no feature maps to give')", "(Small has no feature maps to give); choose another"),
        ("TypeError('no maps')", "(no maps); choose another backbone, or leave the row out: name the others"),
        (
            "__import__('fsbench').SuiteError('Small has no maps; take conv4.')",
            "relation: Small has no maps; take conv",
        ),
    ],
)
def test_a_backbone_that_a_row_cannot_have_is_refused_before_anything_is_trained(
    tmp_path: Path, error: str, sentence: str
) -> None:
    net = tmp_path / "net.py"
    net.write_text(SMALL.format(error=error))
    suite = write_suite(tmp_path / "s.toml", rows=("proto", "relation"))
    words = ("--backbone", f"{net}:Small", "--shots", 1, "--episodes", 4, "--device", "cpu")
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", *words)
    assert "methods.relation" in said and sentence in said
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_a_backbone_that_is_edited_during_a_run_ends_it(tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    edits = "file = __import__('pathlib').Path(__file__)\n        file.write_text(file.read_text() + '#')"
    net.write_text(
        SMALL.format(error="ValueError()").replace("super().__init__()", f"super().__init__()\n        {edits}")
    )
    suite = write_suite(tmp_path / "s.toml", rows=("proto",))
    words = ("--backbone", f"{net}:Small", "--shots", 1, "--episodes", 4, "--device", "cpu")
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", *words)
    assert "has changed since the run began; run the same command again" in said


def test_a_row_with_other_weights_than_the_training_that_it_tests_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom fsbench.methods.simpleshot import SimpleShot\n\nclass Mine(SimpleShot):\n"
        "    def __init__(self, *given):\n        super().__init__(*given)\n"
        "        self.more = torch.nn.Linear(2, 2)\n"
    )
    mine = ('method = "simpleshot"', 'method = "mine.py:Mine"')
    suite = write_suite(tmp_path / "s.toml", mine, rows=("knn", "simpleshot"))
    said = refused("run", "--suite", suite, "--shots", 1, "--episodes", 4, "--out", tmp_path / "out")
    assert "methods.simpleshot cannot use the training of knn: their weights differ" in said
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_a_row_with_another_backbone_than_its_start_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from fsbench.backbones.conv4 import Conv4\n\nclass Mine(Conv4):\n"
        "    def __init__(self, *, maps=False, **given):\n        super().__init__(maps=maps, **given)\n"
        "        if maps:\n            self.more = __import__('torch').nn.Linear(2, 2)\n"
    )
    start = ('method = "relation"\n', 'method = "relation"\nstart = "knn"\n')
    suite = write_suite(tmp_path / "s.toml", start, rows=("knn", "relation"))
    words = ("--backbone", f"{tmp_path / 'mine.py'}:Mine", "--shots", 1, "--episodes", 4)
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", *words)
    assert "methods.relation cannot start from the backbone of knn: their weights differ" in said
    assert not list((tmp_path / "out").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("proto", "(a Conv4 leaves nothing of images of 8x8 pixels; they need 16); raise them"),
        ("relation", "(a Conv4 leaves nothing of images of 8x8 pixels; they need 10); raise them"),
        ("fomaml", "(a Conv4 leaves nothing of images of 8x8 pixels; they need 16); raise them"),
    ],
)
def test_images_that_are_too_small_at_first_are_refused_before_anything_is_trained(
    tmp_path: Path, row: str, sentence: str
) -> None:
    small = (f"[methods.{row}.training]\n", f"[methods.{row}.training]\nsmall_first = [[8, 0.5]]\n")
    suite = write_suite(tmp_path / "s.toml", small, rows=("knn", row))
    said = refused("run", "--suite", suite, "--shots", 1, "--episodes", 4, "--out", tmp_path / "out")
    assert f"methods.{row} cannot begin with images of 8x8 pixels, as its small_first says {sentence}" in said
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_a_backbone_of_one_size_cannot_begin_with_smaller_images(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SMALL.format(error="ValueError()"))
    small = ("[methods.proto.training]\n", "[methods.proto.training]\nsmall_first = [[12, 0.5]]\n")
    suite = write_suite(tmp_path / "s.toml", small, rows=("proto",))
    words = ("--backbone", f"{tmp_path / 'net.py'}:Small", "--shots", 1, "--episodes", 4)
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", *words)
    assert "methods.proto cannot begin with images of 12x12 pixels" in said and "mat1 and mat2 shapes cannot" in said
