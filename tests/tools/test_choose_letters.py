"""The letters of the glyphs: what is chosen, and that no two look alike by another measure than the one that chose."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, features

from choose_letters import SCRIPTS, select_letters, to_toml
from fsbench.data.card import cards_folder
from fsbench.data.letters import Face, load_faces
from fsbench.data.sources.glyphs import read_letters

LIST = cards_folder() / "glyphs" / "scripts.toml"
TWINS = ("AΑ", "AА", "ΑА", "oо", "oօ", "UՍ", "nո", "hհ", "CС", "cᴄ")


@pytest.fixture(scope="module")
def faces() -> tuple[Face, ...]:
    return load_faces()


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, str]]:
    return read_letters(LIST)


def test_the_list_is_what_the_selection_chooses(faces: Sequence[Face], listed: dict[str, dict[str, str]]) -> None:
    if features.version("freetype2") != "2.14.3":
        pytest.skip(f"the list was made with FreeType 2.14.3, here is {features.version('freetype2')}")
    chosen = select_letters(faces)
    assert chosen == listed
    assert LIST.read_text(encoding="utf-8").endswith(f"\n\n{to_toml(chosen)}")


def test_every_letter_is_of_its_script_and_has_faces_enough(
    faces: Sequence[Face], listed: dict[str, dict[str, str]]
) -> None:
    for split, scripts in listed.items():
        assert set(scripts) == set(SCRIPTS[split])
        for script, letters in scripts.items():
            for letter in letters:
                assert unicodedata.name(letter).startswith(f"{script} ")
                assert unicodedata.category(letter) in ("Ll", "Lu", "Lo")
                assert not unicodedata.decomposition(letter)
                assert sum(letter in face.letters for face in faces) >= 4


def test_no_two_letters_look_alike(faces: Sequence[Face], listed: dict[str, dict[str, str]]) -> None:
    letters = "".join("".join(scripts.values()) for scripts in listed.values())
    splits = np.repeat(np.arange(len(listed)), [sum(map(len, scripts.values())) for scripts in listed.values()])
    between = distances(faces, letters)
    np.fill_diagonal(between, 1.0)
    across = np.where(splits[:, None] != splits, between, 1.0)
    assert max(distances(faces, twins)[0, 1] for twins in TWINS) < 0.1, "this measure does not see twins"
    for found, limit in ((between, 0.2), (across, 0.28)):
        first, second = np.unravel_index(found.argmin(), found.shape)
        assert found.min() > limit, f"{letters[first]} and {letters[second]}"


def distances(faces: Sequence[Face], letters: str) -> npt.NDArray[np.float64]:
    """Between all letters: how much of the ink of two is not common, when they are laid upon each other; 0 to 1."""
    pictures = np.stack([picture(faces, letter) for letter in letters])
    common = np.stack([np.minimum(one, pictures).sum(axis=1) for one in pictures])
    ink = pictures.sum(axis=1)
    return 1 - common / (ink[:, None] + ink - common)


def picture(faces: Sequence[Face], letter: str) -> npt.NDArray[np.float64]:
    """A letter in the first face that has it, its longer side 32 pixels, in the middle: flat, 0 to 1."""
    font = next(face.font for face in faces if letter in face.letters)
    page = Image.new("L", (300, 300))
    ImageDraw.Draw(page).text((80, 80), letter, font=font, fill=255)
    ink = page.crop(page.getbbox())
    side = max(ink.size)
    square = Image.new("L", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return np.asarray(square.resize((32, 32), Image.Resampling.BOX), dtype=np.float64).ravel() / 255
