"""The faces of the glyphs: they are there, and draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pytest

from fsbench.data.letters import Face, load_faces
from fsbench.errors import DataNotFoundError


@pytest.fixture(scope="module")
def faces() -> tuple[Face, ...]:
    return load_faces()


def test_twelve_faces_have_the_latin_alphabet(faces: Sequence[Face]) -> None:
    assert len(faces) == 12
    assert len({face.sha256 for face in faces}) == 12
    assert sum(face.bold for face in faces) == 6
    assert all(face.letters.issuperset("AZaz") for face in faces)


def test_a_rendered_letter_is_cropped_to_its_ink(faces: Sequence[Face]) -> None:
    for face in faces:
        image = face.render("g")
        assert image.max() == 255
        assert all(edge.any() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


def test_missing_fonts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataNotFoundError, match=r"DejaVuSans\.ttf is missing; install matplotlib again"):
        load_faces()
