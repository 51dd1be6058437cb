"""`fsbench table` on a terminal: figures are drawn whole, or not drawn."""

from __future__ import annotations

import sys

import pytest

from fsbench.cli.table import show
from fsbench.report.arrange import build_table
from helpers.factories import make_record


@pytest.mark.parametrize(("columns", "drawn"), [(100, True), (30, False)])
def test_a_terminal_without_room_for_a_figure_shows_the_markdown_of_it(
    columns: int, drawn: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    rows = [make_record(f"Method {n}", [60 + n, 66 + n], source=source) for n in range(3) for source in ("a", "b")]
    show(build_table(rows), cell_ranks=False)
    shown = capsys.readouterr().out
    assert ("| Test source" in shown) is not drawn
    assert "…" not in shown
    assert "84.00 ± 50.82" in shown  # 60 and 66 of 75
