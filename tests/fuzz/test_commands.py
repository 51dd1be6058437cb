"""Bad input on the command line: exit code 2 and one sentence, wherever the file is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fsbench.errors import FsbenchError
from fuzz.guard import guarded
from fuzz.kinds import KINDS, command

_MAKE = {kind.name: kind.make for kind in KINDS}


@pytest.fixture
def folder(tmp_path: Path, look_into: Callable[[Path], None]) -> Path:
    look_into(tmp_path)
    return tmp_path


def test_a_run_refuses_a_bad_suite_and_bad_episodes(folder: Path) -> None:
    _MAKE["suite"](folder)
    (folder / "bad.toml").write_text((folder / "suite.toml").read_text().replace("way = 5", "way = nan"))
    (folder / "e.npz").write_bytes(b"PK\x03\x04")
    for arguments in (("bad.toml",), ("suite.toml", "--episodes-file", folder / "e.npz")):
        with pytest.raises(FsbenchError), guarded(folder):
            command("run", "--suite", folder / arguments[0], *arguments[1:], "--out", folder / "out")
    assert not (folder / "out").exists()


def test_a_thousand_million_episodes_are_refused(folder: Path) -> None:
    _MAKE["suite"](folder)
    with pytest.raises(FsbenchError), guarded(folder):
        command("episodes", "export", folder / "suite.toml", "--episodes", 10**9, "--out", folder / "e.npz")


@pytest.mark.parametrize("fractions", ["nan,0.5,0.5", "0.5,nan,0.5", "inf,-inf,1", "1e400,0,0", "-1,1,1"])
def test_fractions_that_are_no_parts_are_refused(folder: Path, fractions: str) -> None:
    _MAKE["split json"](folder)
    with pytest.raises(FsbenchError, match="do not add up to 1"):
        command("data", "prepare", "birds", "--from", folder / "birds", f"--fractions={fractions}")


def test_a_folder_whose_name_is_not_unicode_is_refused(folder: Path) -> None:
    _MAKE["split json"](folder)
    os.rename(folder / "birds" / "bird0", os.fsencode(folder / "birds") + b"/b\xe9b\xe9")
    with pytest.raises(FsbenchError, match="rename it"):
        command("data", "prepare", "birds", "--from", folder / "birds")
