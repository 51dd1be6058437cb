"""The page can be read by everybody: what can be told from its source, and what axe-core finds in a real browser."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from fsbench.record_files import RecordStore
from fsbench.report.arrange import build_table
from fsbench.report.episodes import Sheet
from fsbench.report.html import to_html
from fsbench.report.leaderboard_page import write_leaderboard
from helpers.page import Page, one_source, several_sources

ROOT = Path(__file__).parents[2]
STYLE = (ROOT / "fsbench/report/templates/style.css").read_text(encoding="utf-8")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def _text() -> str:
    """A page with two tables and all that a report can hold."""
    tables = {"one": build_table(one_source()), "several": build_table(several_sources())}
    png = io.BytesIO()
    Image.new("L", (40, 20)).save(png, "PNG")
    column = tables["one"].columns[0]
    sheet = Sheet(number=0, classes=("Latin a", "Latin b"), more=3, png=png.getvalue(), width=40, height=20)
    return to_html(tables, sheets={column: (sheet,)}, files={"one": ("table.md", "table.tex"), "several": ()})


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(_text())


def test_it_says_its_language_and_has_one_title_and_one_first_heading(page: Page) -> None:
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en-GB"
    assert page.all("title")[0].text == "one, several – fsbench report"
    assert [head.text for head in page.all("h1")] == ["fsbench report"]


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch(r"h[1-6]", element.tag)]
    assert set(levels) == {1, 2, 3, 4}
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_everything_that_can_be_pressed_has_a_name(page: Page) -> None:
    assert not [element for element in page.elements if element.tag in {"input", "select", "textarea"}]
    for element in [*page.all("a"), *page.all("button"), *page.all("summary")]:
        assert element.text
    for image in page.all("img"):
        assert image.attributes["alt"]
    for drawing in page.all("svg"):
        assert drawing.attributes.get("aria-label") or drawing.attributes.get("aria-hidden") == "true"


def test_every_table_has_heads_of_columns_and_rows(page: Page) -> None:
    heads = page.all("th")
    assert heads
    for head in heads:
        assert head.text
        places = {element.tag for element in head.around}
        assert head.attributes["scope"] == ("col" if "thead" in places else "row")
        assert places & {"thead", "tbody", "tfoot"}
    rows = [row for row in page.all("tr") if "thead" not in {element.tag for element in row.around}]
    assert len([head for head in heads if head.attributes["scope"] == "row"]) == len(rows)


def test_landmarks_and_ids_have_names_of_their_own(page: Page) -> None:
    regions = [e.attributes["aria-label"] for e in page.elements if e.attributes.get("role") == "region"]
    navigations = [e.attributes["aria-label"] for e in page.all("nav")]
    idents = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    for names in (regions, navigations, idents):
        assert names
        assert len(names) == len(set(names))
    for region in (e for e in page.elements if e.attributes.get("role") == "region"):
        assert region.attributes["tabindex"] == "0"  # what scrolls can be reached by the keyboard


def _luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_black_and_white_is_21() -> None:
    assert _contrast("#000", "#ffffff") == pytest.approx(21)
    assert _contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)  # the lightest grey that AA allows


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_what_they_lie_on(scheme: str) -> None:
    found = re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", STYLE)
    colours = {name: light if scheme == "light" else dark for name, light, dark in found}
    for text, ground in itertools.product(("ink", "muted"), ("paper", "soft", "tint")):
        assert _contrast(colours[text], colours[ground]) >= 7, (text, ground)  # level AAA
    assert _contrast(colours["blue"], colours["paper"]) >= 7  # links
    for mark in ("blue", "orange", "green", "purple", "muted"):
        assert _contrast(colours[mark], colours["paper"]) >= 3, mark  # what is no text


def test_no_colour_is_named_but_by_a_variable() -> None:
    _, _, rules = STYLE.partition("\n}\n")
    assert not re.findall(r"(?<![\w&])#[0-9a-f]{3,8}\b|rgba?\(", rules)


def _missing() -> str:
    """What the check in a browser lacks here."""
    folders = [Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
    if CHROMIUM is None or shutil.which("node") is None:
        return "there is no Chromium or no Node.js here"
    if not all(any((folder / name).is_dir() for folder in folders) for name in ("axe-core", "puppeteer-core")):
        return "NODE_PATH names no folder with axe-core and puppeteer-core"
    return ""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(bool(_missing()), reason=_missing())
def test_axe_finds_no_violation_in_any_view(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(_text(), encoding="utf-8")
    store = RecordStore(tmp_path / "run" / "records")
    for record in (*one_source(), *several_sources(), *(r.model_copy(update={"track": "C"}) for r in one_source())):
        store.write(record)
    board = write_leaderboard([tmp_path / "run"], tmp_path / "board")
    command = ["node", str(ROOT / "tools/check_page.cjs"), str(CHROMIUM), str(path), str(board)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    views = json.loads(done.stdout)
    assert [view["view"] for view in views] == [
        "390 px, light, screen",
        "390 px, dark, screen",
        "1280 px, light, screen",
        "1280 px, dark, screen",
        "718 px, light, print",
    ] * 2
    assert min(view["rules"] for view in views) >= 30
    assert [(view["view"], found) for view in views for found in view["violations"]] == []
    assert [(view["view"], view["overflow"]) for view in views if view["overflow"] > 0] == []
