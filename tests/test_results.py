"""The committed results are what the committed records say, and the README shows them."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsbench.cli.main import main
from fsbench.provenance import SUITE_FILE
from fsbench.report.reading import records_of
from fsbench.suite_files import load_suite
from helpers.small import SIZE, write_small_pack

ROOT = Path(__file__).parents[1]
COMPLETE = {"glyphs", "metadataset-ilsvrc", "miniimagenet", "omniglot"}  # the seven methods, at every shot
FOLDERS = sorted(path.parent.relative_to(ROOT / "results").as_posix() for path in ROOT.glob("results/**/table.md"))


def test_there_are_results() -> None:
    assert {*FOLDERS} >= COMPLETE


@pytest.mark.parametrize("name", FOLDERS)
def test_the_tables_follow_from_the_records(name: str, tmp_path: Path) -> None:
    folder = ROOT / "results" / name
    shutil.copytree(folder / "records", tmp_path / "records")
    shutil.copy(folder / SUITE_FILE, tmp_path)
    result = CliRunner().invoke(main, ["table", str(tmp_path)])
    assert (result.exit_code, result.exception) == (0, None)
    for file in ("table.md", "table.csv", "ranks.csv"):
        assert (folder / file).read_text(encoding="utf-8") == (tmp_path / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_all_seven_methods_are_there_at_every_shot(name: str) -> None:
    records = records_of(ROOT / "results" / name)
    shots = load_suite(records[0].identity.suite).episodes.shots
    found = {(record.identity.method, record.identity.shot) for record in records}
    seven = ("knn", "finetune", "matching", "proto", "relation", "fomaml", "foprotomaml")
    assert found >= {(method, shot) for method in seven for shot in shots}


def test_the_readme_shows_the_table_of_miniimagenet() -> None:
    table = (ROOT / "results/miniimagenet/table.md").read_text(encoding="utf-8")
    first = [line for line in table.partition("\n## ")[0].splitlines() if line.startswith(("|", "**reduced"))]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(first) >= 6
    assert [line for line in first if line not in readme] == []


@pytest.mark.slow
def test_one_command_makes_every_table_and_says_what_is_left() -> None:
    pytest.importorskip("timm")  # the suite frozen has a network of it
    command = runpy.run_path(str(ROOT / "results" / "__main__.py"))["main"]
    for name in FOLDERS:
        result = CliRunner().invoke(command, ["--left", name])
        assert (result.exit_code, result.exception) == (0, None)
        assert re.search(rf"^{name}(, protocol k-shot)?, seeds 1: \d+ of \d+ cells are left$", result.output, re.M)
    refused = CliRunner().invoke(command, ["--left", "omniglott"])
    assert refused.exit_code == 2
    assert "unknown table 'omniglott'; did you mean 'omniglot'?" in refused.output


@pytest.mark.slow
def test_a_table_that_cannot_be_made_here_is_named_and_the_others_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path))
    write_small_pack(tmp_path / "packs" / f"omniglot-{SIZE}px", source="omniglot", classes=(4, 6, 8))
    command = runpy.run_path(str(ROOT / "results" / "__main__.py"))["main"]
    result = CliRunner().invoke(command, ["--left", "omniglot", "glyphs"])
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert re.fullmatch(r"glyphs, seeds 1: \d+ of \d+ cells are left\n", result.stdout)
    for line, seeds in zip(result.stderr.splitlines(), (1, 3), strict=True):
        assert re.fullmatch(rf"omniglot, seeds {seeds}: cannot be made here: methods\.\w+ cannot train on .*\.", line)


@pytest.mark.slow
def test_a_run_that_fails_ends_the_command_with_its_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path))
    command = runpy.run_path(str(ROOT / "results" / "__main__.py"))["main"]
    result = CliRunner().invoke(command, ["omniglot-20way", "--data-root", str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
