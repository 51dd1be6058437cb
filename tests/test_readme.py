"""The README is short, and what it shows is real."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from fsbench import __version__
from fsbench.published.citations import cited

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _block(start: str) -> list[str]:
    """The lines of the fenced block that starts so, without its first line."""
    (found,) = [block for block in README.split("```\n")[1::2] if block.startswith(start)]
    return found.splitlines()[1:]


def test_it_has_at_most_120_lines() -> None:
    assert len(README.splitlines()) <= 120


def test_the_output_of_the_first_run_is_that_of_the_committed_records() -> None:
    table = (ROOT / "results/glyphs/table.md").read_text(encoding="utf-8").splitlines()
    lines = _block("$ fsbench run")
    assert len(lines) >= 10
    assert table[: len(lines)] == lines


def test_the_table_of_peers_is_a_part_of_the_long_one() -> None:
    long = (ROOT / "docs/peers.md").read_text(encoding="utf-8").splitlines()
    known = {
        line.split("|")[1].strip(): {cell.strip() for cell in line.split("|")[2:-1]} for line in long if "|" in line
    }
    _, _, part = README.partition("## Beside others")
    rows = [line.split("|")[1:-1] for line in part.splitlines() if line.startswith("|") and ":--" not in line]
    assert len(rows) >= 6
    for name, *cells in rows:
        assert {cell.strip() for cell in cells} <= known[name.strip()], name


def test_how_to_cite_is_what_the_command_prints() -> None:
    text, _ = cited((), (), __version__)
    assert "\n".join(["@software{fsbench,", *_block("@software{fsbench,")]) == text.strip()


def test_the_picture_is_small() -> None:
    path = ROOT / "docs/images/report.png"
    assert path.stat().st_size < 200_000
    with Image.open(path) as picture:
        assert picture.width == 1440
