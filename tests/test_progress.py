"""What is said: the log of the command line, and that it does not tear the bars."""

from __future__ import annotations

import logging

import pytest

from fsbench.progress import open_counter, open_progress, printed_log

LOG = logging.getLogger("fsbench")


def test_the_log_is_printed_to_standard_error_while_the_block_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    with printed_log():
        LOG.info("reading %s images", 3)
        with printed_log():  # a process of a run within the command
            LOG.warning("one is damaged")
        LOG.info("done")
    LOG.info("nobody asked")
    assert capsys.readouterr() == ("", "reading 3 images\none is damaged\ndone\n")


def test_a_line_stands_alone_above_the_bars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with printed_log(), open_progress(3, live=True) as progress:
        progress.advance()
        LOG.info("[a] is left out")
    lines = capsys.readouterr().err.splitlines()
    assert any(line.endswith("[a] is left out") and "run" not in line for line in lines)
    assert any("1/3" in line for line in lines)


def test_a_count_is_logged_now_and_then(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fsbench")
    with open_counter("images", 10) as count:
        count(4)
    assert caplog.messages == []
    monkeypatch.setattr("fsbench.progress._SECONDS_A_LINE", 0)
    with open_counter("images", 10_000) as count:
        count(4)
        count(9_000)
    assert caplog.messages == ["4 of 10,000 images", "9,004 of 10,000 images"]
