"""The glyphs: whole, various, and the same wherever FreeType is the same."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import features

from fsbench.data.card import Card, load_card
from fsbench.data.letters import load_faces
from fsbench.data.pack import SPLITS
from fsbench.data.prepared import Prepared, write_pack
from fsbench.data.sources.glyphs import DRAWINGS, draw_letter, prepare
from fsbench.errors import DataError

FREETYPE = "2.14.3"  # that the following is the SHA-256 of all images with
GOLDEN = "5a3ddbe3a227f935580677fa112f25f671610f2e88d910876312430cda268db3"


@pytest.fixture(scope="module")
def card() -> Card:
    return load_card("glyphs")


@pytest.fixture(scope="module")
def glyphs(card: Card) -> Prepared:
    return prepare(card, card.variant().name, card.size, Path("nowhere"))


def test_counts_are_those_of_the_card(card: Card, glyphs: Prepared) -> None:
    variant = card.variant()
    assert {split: len(glyphs.splits[split]) for split in SPLITS} == variant.classes.model_dump()
    assert glyphs.images.shape == (variant.images, card.channels, card.size, card.size)
    assert glyphs.images.dtype == np.uint8
    assert np.bincount(glyphs.labels).tolist() == [DRAWINGS] * len(glyphs.classes)
    assert len(set(glyphs.classes)) == len(glyphs.classes) >= 600
    assert len(set(glyphs.names)) == len(glyphs.names) == variant.images


def test_no_class_and_no_script_is_in_two_splits(glyphs: Prepared) -> None:
    labels = [label for split in SPLITS for label in glyphs.splits[split]]
    assert sorted(labels) == list(range(len(glyphs.classes)))
    scripts = {split: {glyphs.classes[label].split()[0] for label in glyphs.splits[split]} for split in SPLITS}
    assert all(len(members) >= 3 for members in scripts.values())
    assert max(Counter(script for members in scripts.values() for script in members).values()) == 1


def test_it_makes_a_pack(glyphs: Prepared, tmp_path: Path) -> None:
    pack = write_pack(tmp_path, "glyphs", glyphs)
    assert pack.classes[0] == "GREEK CAPITAL LETTER HETA"
    assert pack.names[DRAWINGS] == f"{pack.classes[1]}/01"
    assert pack.processing["decoders"] == {"freetype": features.version("freetype2")}


def test_every_drawing_shows_a_whole_letter(glyphs: Prepared) -> None:
    images = glyphs.images[:, 0]
    assert images.max(axis=(1, 2)).min() > 200, "an image without ink"
    assert images.mean(axis=(1, 2)).max() < 128, "an image full of ink"
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    assert max(edge.max() for edge in edges) < 128, "a letter is cut off"


def test_all_drawings_differ(glyphs: Prepared) -> None:
    assert len({image.tobytes() for image in glyphs.images}) == len(glyphs.images)


def test_a_drawing_depends_on_its_letter_alone(glyphs: Prepared) -> None:
    before = np.random.get_state()[1]
    faces = load_faces()
    for letter in "ƪႡᐁ":
        label = glyphs.classes.index(unicodedata.name(letter))
        drawn = draw_letter(letter, faces, 28)
        np.testing.assert_array_equal(drawn, glyphs.images[glyphs.labels == label, 0])
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_the_faces_take_turns() -> None:
    sans, *_, serif = load_faces()
    alone, both = draw_letter("R", [sans], 28), draw_letter("R", [sans, serif], 28)
    same = (alone == both).all(axis=(1, 2))
    assert not same[1::2].any()


def test_a_larger_image_shows_the_same_drawing() -> None:
    faces = load_faces()
    small, large = draw_letter("ß", faces, 28), draw_letter("ß", faces, 84)
    shrunk = large.reshape(DRAWINGS, 28, 3, 28, 3).mean(axis=(2, 4))
    assert np.abs(shrunk - small).mean() < 5


def test_the_images_are_the_frozen_ones(glyphs: Prepared) -> None:
    if features.version("freetype2") != FREETYPE:
        pytest.skip(f"frozen with FreeType {FREETYPE}, here is {features.version('freetype2')}")
    assert hashlib.sha256(glyphs.images.tobytes()).hexdigest() == GOLDEN


def test_a_letter_that_no_font_has_is_named() -> None:
    with pytest.raises(DataError, match="no font has CJK UNIFIED IDEOGRAPH-5B57"):
        draw_letter("字", load_faces(), 28)
