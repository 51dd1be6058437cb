"""Contact sheets: that they show the very episodes of the records, or say why not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fsbench.data.pack import Pack
from fsbench.data.prepared import Prepared, write_pack
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.variable import VariableProtocol
from fsbench.report.arrange import build_table
from fsbench.report.episodes import Sheet, contact_sheets
from fsbench.report.html import to_html
from fsbench.report.table import Table
from helpers.factories import make_record
from helpers.small import write_small_pack

FIXED = FixedProtocol("test", 5, 1, 15, 4, 0)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pack]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSBENCH_CACHE", str(cache))
        (cache / "packs" / "damaged").mkdir(parents=True)
        (cache / "packs" / "damaged" / "pack.json").write_text("[1", encoding="utf-8")
        yield write_small_pack(cache / "packs" / "small-28px")


def _table(pack: Pack, /, protocol: AnyProtocol = FIXED, **changes: Any) -> Table:
    shot = protocol.shot if isinstance(protocol, FixedProtocol) else None
    identity = {
        "pack": pack.digest,
        "episode_set": Sampler(pack, protocol, Rules(leave_out=True)).draw().digest,
        "source": "small",
    }
    return build_table([make_record(shot=shot, **(identity | changes))])


def _sheets(table: Table) -> tuple[Sheet, ...]:
    (found,) = contact_sheets(table).values()
    assert not isinstance(found, str), found
    return found


def test_the_pictures_hold_the_images_of_the_first_two_episodes(pack: Pack) -> None:
    drawn = Sampler(pack, FIXED, Rules()).draw()
    sheets = _sheets(_table(pack))
    assert [sheet.number for sheet in sheets] == [0, 1]
    for number, sheet in enumerate(sheets):
        assert sheet.classes == tuple(pack.classes[label] for label in drawn.classes[number])
        assert sheet.more == 0
        picture = np.asarray(Image.open(io.BytesIO(sheet.png)).convert("RGBA"))[..., 0]
        assert picture.shape == (5 * 29, 6 * 29 + 10)
        assert (sheet.height, sheet.width) == (2 * 5 * 29, 2 * (6 * 29 + 10))
        for label in range(5):
            top = 29 * label
            support = picture[top : top + 28, :28]
            assert (support == pack.images[drawn.support[number, label, 0], 0]).all()
            asked = drawn.query_images[number][drawn.query_labels[number] == label]
            for place in range(5):
                left = 29 * (place + 1) + 10
                shown = picture[top : top + 28, left : left + 28]
                assert (shown == pack.images[asked[place], 0]).all()


def test_large_images_are_made_smaller_and_colours_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path))
    grey = write_small_pack(tmp_path / "grey", size=84)
    coloured = Prepared(
        images=np.concatenate([grey.images, grey.images // 2, grey.images // 4], axis=1),
        labels=grey.labels,
        names=list(grey.names),
        classes=grey.classes,
        splits=grey.splits,
        processing={},
    )
    sheet = _sheets(_table(write_pack(tmp_path / "packs" / "coloured-84px", "small", coloured)))[0]
    assert (sheet.height, sheet.width) == (5 * 49, 6 * 49 + 10)
    assert len(sheet.png) < 100_000
    picture = np.asarray(Image.open(io.BytesIO(sheet.png)).convert("RGBA"))[:48, :48].mean(axis=(0, 1))
    assert picture == pytest.approx([picture[0], picture[0] / 2, picture[0] / 4, 255], rel=0.1)


def test_episodes_of_variable_ways_show_some_of_their_classes(pack: Pack) -> None:
    sheet = _sheets(_table(pack, VariableProtocol("test", 4, 0)))[0]
    assert 5 <= len(sheet.classes) <= 8
    assert sheet.uri.startswith("data:image/png;base64,")


def test_several_sources_show_one_episode_of_their_first_column_each(pack: Pack) -> None:
    five = Sampler(pack, FixedProtocol("test", 5, 5, 15, 4, 0), Rules()).draw().digest
    one = Sampler(pack, FIXED, Rules()).draw().digest
    records = [
        make_record(source=source, shot=shot, pack=digest, episode_set=episodes)
        for source, digest in (("small", pack.digest), ("other", "elsewhere"))
        for shot, episodes in ((1, one), (5, five))
    ]
    found = contact_sheets(build_table(records))
    assert [str(column) for column in found] == ["small 5-way 1-shot", "other 5-way 1-shot"]
    shown, reason = found.values()
    assert not isinstance(shown, str)
    assert len(shown) == 1
    assert reason == "other: the images of its records (pack elsewhere) are not prepared on this machine."


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pack": "another"}, "small: the images of its records (pack another) are not prepared on this machine."),
        ({"episode_set": "f"}, "small: its episodes are none that this sampler draws from its images, so they are not"),
        ({"queries": 19}, "small: its episodes are none that this sampler draws"),
        ({"queries": 20}, "small: its episodes cannot be drawn again ("),
    ],
)
def test_otherwise_there_is_a_reason(pack: Pack, changes: dict[str, Any], reason: str) -> None:
    (found,) = contact_sheets(_table(pack, **changes)).values()
    assert isinstance(found, str)
    assert found.startswith(reason)
    assert found.endswith(".")


def test_the_page_holds_the_pictures_and_names_the_classes(pack: Pack) -> None:
    table = _table(pack)
    page = to_html({"small": table}, sheets=contact_sheets(table))
    sheets = _sheets(table)
    assert page.count("<img ") == 2
    for sheet in sheets:
        assert f'<img src="{sheet.uri}"' in page
        assert f"a class a line: {', '.join(sheet.classes)}" in page
    assert page == to_html({"small": table}, sheets=contact_sheets(table))
