"""Settings for all tests, and the tally of what befell runs and files, printed at the end."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from helpers.tiny import write_source

hypothesis.settings.register_profile("fsbench", deadline=None, derandomize=True)  # cores may be busy
hypothesis.settings.load_profile("fsbench")

_TALLY = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Counter()


@pytest.fixture(scope="session", autouse=True)
def _commands_hear_sigint() -> Iterator[None]:
    """Let commands that tests start hear SIGINT, even where a script's `&` has told pytest to ignore it.

    An ignored signal is inherited by commands; one that is handled, if only by doing nothing, is not.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(scope="module")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of a module's tests, with the tiny source, and no data anywhere."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("FSBENCH_CACHE", str(folder))
        patch.setenv("FSBENCH_DATA", str(folder / "no-data"))
        write_source(folder)
        yield folder


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Counter[str]:
    """How often what befell a run or a file."""
    return pytestconfig.stash[_TALLY]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:  # in a process of pytest-xdist
        output["tally"] = dict(session.config.stash[_TALLY])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if (output := getattr(node, "workeroutput", None)) is not None:  # it did not crash
        node.config.stash[_TALLY].update(output["tally"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if tally := config.stash[_TALLY]:
        terminalreporter.write_sep("=", "what befell runs and files")
        for what, times in sorted(tally.items()):
            terminalreporter.write_line(f"{what:<44}{times:>5}")
