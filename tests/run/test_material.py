"""The material of a run: sources that are there, sources that are left out, episodes of every column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fsbench.data.prepare import ensure_pack, prepare_own
from fsbench.data.sources.folder import OwnSource
from fsbench.episodes.files import EpisodeFile
from fsbench.episodes.sampler import Sampler
from fsbench.episodes.variable import VariableProtocol
from fsbench.errors import DataError, DataNotFoundError, EpisodeError, FsbenchError, SuiteError, UsageError
from fsbench.forecast.outlook import look_ahead
from fsbench.run.material import Material, open_material
from fsbench.run.options import Options
from fsbench.suite_files import load_suite
from helpers.small import write_small_pack
from helpers.tiny import SOURCE, write_source, write_suite

PLAIN = Options()
SOURCES = f'train = "{SOURCE}"\ntest = ["{SOURCE}"]'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    return tmp_path / "cache"


def opened(tmp_path: Path, sources: str, options: Options = PLAIN, file: EpisodeFile | None = None) -> Material:
    suite = load_suite(str(write_suite(tmp_path / "suite.toml", (SOURCES, sources))))
    return open_material(suite, options, data_root=tmp_path, episode_file=file)


def test_every_test_source_and_shot_is_a_column(tmp_path: Path, cache: Path) -> None:
    write_source(cache, name="other", seed=1)
    columns = opened(tmp_path, f'train = ["{SOURCE}", "other"]\ntest = ["other", "{SOURCE}"]')
    assert [(source, found.protocol.shot) for source, found in columns.episode_sets] == [
        ("other", 1),
        ("other", 5),
        (SOURCE, 1),
        (SOURCE, 5),
    ]
    assert columns.left_out == {}


def test_one_source_under_two_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsbench.run.material.ensure_pack", lambda *given, **more: ensure_pack(SOURCE, **more))
    names = f'train = "{SOURCE}"\ntest = ["{SOURCE}", "{SOURCE}:plain"]'
    with pytest.raises(SuiteError, match=f"names one source twice, as {SOURCE} and as {SOURCE}:plain; leave one"):
        opened(tmp_path, names)


def test_a_source_without_files_is_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = f'train = ["{SOURCE}", "fungi"]\ntest = ["{SOURCE}", "dtd"]\nabsent = "leave out"'
    columns = opened(tmp_path, text)
    assert columns.left_out == dict.fromkeys(("fungi", "dtd"), "its files are not there")
    assert set(columns.packs) == {SOURCE}
    assert [line.partition(" is left out: ")[0] for line in caplog.messages if "left out" in line] == ["fungi", "dtd"]


def test_a_source_with_too_few_classes_is_left_out_with_the_reason(tmp_path: Path) -> None:
    text = f'train = "{SOURCE}"\ntest = ["{SOURCE}", "few"]\nabsent = "leave out"'
    write_few(tmp_path / "cache")
    columns = opened(tmp_path, text)
    assert [source for source, _ in columns.episode_sets] == [SOURCE, SOURCE]
    assert "5-way episode needs 5 classes" in columns.left_out["few"]


def write_few(cache: Path) -> None:
    write_small_pack(cache / "packs" / "few-24px", source="few", size=24, images=12, classes=(6, 6, 3))


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        (f'train = "{SOURCE}"\ntest = ["dtd"]', DataNotFoundError, "dtd: "),
        (f'train = "{SOURCE}"\ntest = ["few"]', EpisodeError, "needs 5 classes"),
        (f'train = "{SOURCE}"\ntest = ["dtd"]\nabsent = "leave out"', DataNotFoundError, "no test source"),
        (f'train = "dtd"\ntest = ["{SOURCE}"]\nabsent = "leave out"', DataNotFoundError, "validates on dtd"),
    ],
)
def test_what_a_suite_cannot_do_without_is_an_error(
    tmp_path: Path, cache: Path, sources: str, error: type[FsbenchError], message: str
) -> None:
    write_few(cache)
    with pytest.raises(error, match=message):
        opened(tmp_path, sources)


def test_colours_do_not_fit_into_a_grey_suite(tmp_path: Path, cache: Path) -> None:
    for label in range(5):
        (tmp_path / "own" / str(label)).mkdir(parents=True)
        Image.new("RGB", (24, 24), (label, 0, 0)).save(tmp_path / "own" / str(label) / "a.png")
    prepare_own("coloured", tmp_path / "own", OwnSource(size=24))
    coloured = f'train = "{SOURCE}"\ntest = ["coloured"]'
    with pytest.raises(DataError, match="coloured has 3 channels, but the suite tiny asks for 1"):
        opened(tmp_path, coloured)
    with pytest.raises(DataError, match="coloured has 3 channels, but the suite tiny asks for 1"):
        look_ahead(load_suite(write_suite(tmp_path / "suite.toml", (SOURCES, coloured))), PLAIN)


@pytest.mark.parametrize("variable", [False, True])
def test_a_file_of_episodes_must_be_of_the_protocol_of_the_run(tmp_path: Path, cache: Path, variable: bool) -> None:
    pack = write_source(cache)
    suite = load_suite(str(write_suite(tmp_path / "suite.toml")))
    protocol = VariableProtocol("test", 4, 0)
    sampler = Sampler(pack, protocol, suite.episodes.rules)
    file = EpisodeFile(SOURCE, pack.digest, protocol, protocol.sampler, sampler.draw())
    if variable:
        columns = opened(tmp_path, SOURCES, Options(protocol="variable", episodes=3), file)
        [(source, found)] = columns.episode_sets
        assert (source, found.sampler, len(found.episodes)) == (SOURCE, "variable-1", 3)
        assert found.protocol == replace(protocol, episodes=3)
    else:
        with pytest.raises(UsageError, match="holds episodes of the protocol variable; use --protocol variable"):
            opened(tmp_path, SOURCES, PLAIN, file)
