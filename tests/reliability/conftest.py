"""A small suite and its uninterrupted run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.tiny import write_source, write_suite
from reliability.forks import Ended, Forks
from reliability.place import Place
from reliability.troubles import NOTHING, Trouble

SIZE = 16  # pixels


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    cache = folder / "cache"
    write_source(cache, size=SIZE)
    environment = os.environ | {
        "FSBENCH_CACHE": str(cache),
        "FSBENCH_DATA": str(folder / "no-data"),
        "OMP_NUM_THREADS": "1",
        "PATH": "",  # no git: the commit in the records must not change under the tests
    }
    edits = (
        ("size = 24", f"size = {SIZE}"),
        ("queries = 5", "queries = 2"),
        ("number = 20", "number = 4"),
        ("number = 4\nseed = 1", "number = 2\nseed = 1"),
    )
    suite = write_suite(folder / "tiny.toml", *edits, rows=("proto", "knn", "finetune", "fomaml"))
    return Place(environment, cache, suite)


@pytest.fixture(scope="session")
def forks(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with Forks(tmp_path_factory.mktemp("forks"), place.environment) as forks:
        out = tmp_path_factory.mktemp("learning")
        assert forks.run(place.words(out), out, learn=True).code == 0
        yield forks


@pytest.fixture(scope="session")
def uninterrupted(place: Place, forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The out folder of a run that nothing befell, and how it ended."""
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    ended = forks.run(place.words(out), out)
    assert ended.code == 0, ended.stderr
    return out, ended


@pytest.fixture(scope="session")
def run(place: Place, forks: Forks) -> Callable[..., Ended]:
    """Run the suite into a folder, with a trouble if one is given, and with more options."""

    def run(
        out: Path, trouble: Trouble = NOTHING, *, stop: tuple[int, float] | None = None, more: tuple[str, ...] = ()
    ) -> Ended:
        return forks.run([*place.words(out), *more], out, trouble, stop=stop)

    return run


@pytest.fixture(scope="session")
def run_one(run: Callable[..., Ended]) -> Callable[..., Ended]:
    """Run one cell of the suite, which trains one model."""
    return functools.partial(run, more=("--methods", "proto", "--shots", "1"))


@pytest.fixture(scope="session")
def one_cell(run_one: Callable[..., Ended], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The out folder of its run that nothing befell."""
    out = tmp_path_factory.mktemp("one") / "out"
    assert run_one(out).code == 0
    return out
