"""The scripts of the documentation run, and give what their pages say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from helpers.commands import fsbench

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_a_model_of_ones_own_comes_to_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["own_model.py", str(tmp_path / "own")])
    runpy.run_path(str(DOCS / "examples" / "own_model.py"), run_name="__main__")
    printed = capsys.readouterr().out
    measured = re.findall(r"^glyphs, .*: ([\d.]+ ± [\d.]+)$", printed, flags=re.M)
    table = printed.partition("## What the figures are")[0]
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("|")}
    assert len(measured) == 2
    assert all(figure in lines["Nearest class mean"] for figure in measured)  # the first number is that of the table
    assert "Ridge regression" in lines
    assert any(name.startswith("ProtoNet") and "§" in name for name in lines)  # its training is shortened
    checked = fsbench("verify", tmp_path / "own" / "run")
    assert checked.stdout.endswith("6 of 6 records verify, 6 with their episodes drawn again\n")


def test_the_page_shows_the_script_that_is_tested() -> None:
    included = re.findall(r'^--8<-- "(.*)"$', (DOCS / "own-model.md").read_text(encoding="utf-8"), flags=re.M)
    assert included == ["examples/own_model.py"]
    assert all((DOCS / name).is_file() for name in included)
