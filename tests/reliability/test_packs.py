from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsbench.data.pack import Pack
from helpers.tiny import write_source
from reliability.folders import contents
from reliability.forks import Ended, Forks
from reliability.place import Place
from reliability.troubles import NOTHING, Event, Trouble, flip

pytestmark = pytest.mark.slow

Run = Callable[..., Ended]


@pytest.fixture
def pack(place: Place) -> Iterator[Pack]:
    """A source of its own, with the same images as the suite's."""
    pack = write_source(place.cache, name="other", size=16)
    yield pack
    shutil.rmtree(pack.folder, ignore_errors=True)


@pytest.fixture
def run(place: Place, forks: Forks, pack: Pack, tmp_path: Path) -> Run:
    """Run one row of the suite on that source."""
    suite = tmp_path / "other.toml"
    suite.write_text(place.suite.read_text().replace('"tiny"', '"other"'))
    elsewhere = dataclasses.replace(place, suite=suite)

    def run(out: Path, trouble: Trouble = NOTHING) -> Ended:
        return forks.run([*elsewhere.words(out), "--methods", "proto"], out, trouble)

    return run


def test_a_pack_removed_between_two_runs_is_named(run: Run, pack: Pack, tmp_path: Path) -> None:
    assert run(tmp_path / "out").code == 0
    before = contents(tmp_path / "out")
    shutil.rmtree(pack.folder)
    assert "unknown source 'other'" in run(tmp_path / "out").refusal
    assert contents(tmp_path / "out") == before


def test_a_pack_without_its_images_is_named(run: Run, pack: Pack, tmp_path: Path) -> None:
    (pack.folder / "images.npy").unlink()
    assert f"the pack in {pack.folder} cannot be read" in run(tmp_path / "out").refusal


@pytest.mark.parametrize("event", [1, 20, 40])
def test_a_pack_removed_under_a_run_is_used_to_the_end(event: int, run: Run, pack: Pack, tmp_path: Path) -> None:
    smooth = run(tmp_path / "smooth")
    assert smooth.code == 0
    assert run(tmp_path / "out", Trouble("remove", str(pack.folder), event)).code == 0
    found, expected = contents(tmp_path / "out"), contents(tmp_path / "smooth")
    page, whole = found.pop("report/index.html").decode(), expected.pop("report/index.html").decode()
    assert found == expected
    assert "data:image" in whole  # it shows images of the pack, or says why not
    assert "data:image" not in page


def test_a_pack_changed_between_two_runs_is_refused(run: Run, pack: Pack, tmp_path: Path) -> None:
    flip(pack.folder / "images.npy", -100, 0)
    for _ in range(2):
        assert "images.npy does not match its hash" in run(tmp_path / "out").refusal
    assert not contents(tmp_path / "out")


def test_older_pixels_put_in_the_place_of_a_packs_are_refused(run: Run, pack: Pack, tmp_path: Path) -> None:
    images = pack.folder / "images.npy"
    shutil.copy(images, tmp_path / "older.npy")
    flip(tmp_path / "older.npy", -100, 0)
    os.utime(tmp_path / "older.npy", ns=(0, 0))
    os.replace(shutil.copy2(tmp_path / "older.npy", tmp_path / "copy.npy"), images)
    assert images.stat().st_mtime_ns == 0
    assert "images.npy does not match its hash" in run(tmp_path / "out").refusal
    assert not contents(tmp_path / "out")


def test_a_pack_touched_between_two_runs_is_read_once_more(run: Run, pack: Pack, tmp_path: Path) -> None:
    os.utime(pack.folder / "images.npy")
    assert run(tmp_path / "out").code == 0
    vouched = (pack.folder / "pack.json").stat().st_mtime_ns
    assert vouched >= (pack.folder / "images.npy").stat().st_mtime_ns
    assert run(tmp_path / "out").code == 0
    assert (pack.folder / "pack.json").stat().st_mtime_ns == vouched


def test_a_pack_changed_under_a_run_is_noticed_before_anything_is_written(run: Run, pack: Pack, tmp_path: Path) -> None:
    smooth = run(tmp_path / "smooth")
    last = max(place for place, told in enumerate(smooth.events) if told == Event("mkdir", "records"))
    for event in range(1, len(smooth.events), 9):  # before the first one it is not yet open
        out = tmp_path / str(event)
        ended = run(out, Trouble("flip", str(pack.folder / "images.npy"), event))
        assert ended.code == 0 if event >= last else "was changed while it was in use" in ended.refusal
        flip(pack.folder / "images.npy", -100, 0)
        assert run(out).code == 0
        assert contents(out) == contents(tmp_path / "smooth")
