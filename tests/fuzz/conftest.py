"""Where fsbench looks for files, and the tally of bad inputs that is printed at the end of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

_TALLY = pytest.StashKey[dict[str, tuple[int, int]]]()


@pytest.fixture
def look_into(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes fsbench look for everything in a folder, in the subfolders that `fuzz.kinds` writes."""

    def look(folder: Path) -> None:
        monkeypatch.setenv("FSBENCH_CACHE", str(folder / "cache"))
        monkeypatch.setenv("FSBENCH_DATA", str(folder / "data"))
        if (folder / "cards").exists():
            monkeypatch.setattr("fsbench.data.card.cards_folder", lambda: folder / "cards")
        if (labels := folder / "origin" / "imagelabels.mat").exists():
            digest = hashlib.md5(labels.read_bytes()).hexdigest()
            monkeypatch.setattr("fsbench.data.sources.vgg_flower.LABELS_MD5", digest)

    return look


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> dict[str, tuple[int, int]]:
    """Kind of input to how many there were, and how many of them were refused."""
    return pytestconfig.stash.setdefault(_TALLY, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash.get(_TALLY, {}):
        terminalreporter.write_sep("=", "bad inputs")
        terminalreporter.write_line(f"{'kind':<20}{'inputs':>8}{'refused':>9}{'still valid':>13}")
        for kind, (inputs, refused) in [*found.items(), ("all", tuple(map(sum, zip(*found.values(), strict=True))))]:
            terminalreporter.write_line(f"{kind:<20}{inputs:>8}{refused:>9}{inputs - refused:>13}")
