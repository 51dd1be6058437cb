"""What is said: the log of the command line, and that it does not tear the bars."""

from __future__ import annotations

import logging

import pytest

from fsbench.progress import open_counter, open_progress, printed_log

LOG = logging.getLogger("fsbench")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")


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


def test_a_long_test_says_how_far_it_is_and_what_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("fsbench.pace.time.monotonic", lambda: now[0])
    with open_progress(1, live=False) as progress:
        show = progress.part("testing fomaml 5-shot on mscoco", 600)
        for answered, now[0] in ((121, 110.0), (131, 120.0), (136, 125.0), (161, 150.0)):  # 120 were answered before
            show(answered)
    lines = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "  testing fomaml 5-shot on mscoco: 131/600, 469 s left",
        "  testing fomaml 5-shot on mscoco: 161/600, 439 s left",
    ]


@pytest.mark.usefixtures("terminal")
def test_a_bar_of_a_test_takes_the_place_of_that_of_the_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_progress(1, live=True) as progress:
        progress.training("training fomaml", 10)(10, 1.0, None)
        show = progress.part("testing fomaml", 600)
        show(3)
        show(4)
    last = capsys.readouterr().err.splitlines()[-3:]
    assert any("testing fomaml" in line and "4/600" in line and " s left" in line for line in last)
    assert not any("training" in line for line in last)


@pytest.mark.usefixtures("terminal")
def test_the_bar_of_a_look_stands_below_that_of_the_training_until_all_is_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_progress(1, live=True) as progress:
        show = progress.training("training fomaml", 10)
        show(1, 1.0, None)
        look = progress.look("validating fomaml", 200)
        look(100)
    shown = capsys.readouterr().err
    assert shown.rindex("training fomaml") < shown.rindex("validating fomaml") < shown.rindex("100/200")
    with open_progress(1, live=True) as progress:
        show = progress.training("training fomaml", 10)
        look = progress.look("validating fomaml", 200)
        look(100)
        look(200)
        show(2, 1.0, 40.0)
    shown = capsys.readouterr().err
    assert "2/10" in shown and "validating" not in shown[shown.rindex("training fomaml") :]


@pytest.mark.usefixtures("terminal")
def test_the_bar_of_a_look_goes_where_a_stopped_one_had_answered_all(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(1, live=True) as progress:
        show = progress.training("training fomaml", 10)
        progress.look("validating fomaml", 200)
        show(2, 1.0, 40.0)
    shown = capsys.readouterr().err
    assert "2/10" in shown and "validating" not in shown[shown.rindex("training fomaml") :]


def test_a_count_is_logged_now_and_then(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fsbench")
    with open_counter("images", 10) as count:
        count(4)
    assert caplog.messages == []
    monkeypatch.setattr("fsbench.pace.SECONDS_A_LINE", 0)
    with open_counter("images", 10_000) as count:
        count(4)
        count(9_000)
    assert caplog.messages == ["4 of 10,000 images", "9,004 of 10,000 images"]
