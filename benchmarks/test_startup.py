"""Starting: a command that needs no network, beside what every tool pays that imports torch when it starts."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsbench.record_files import RecordStore
from helpers.factories import make_record

if TYPE_CHECKING:
    from conftest import Beside

METHODS = [f"Method {number}" for number in range(10)]
AS_TOOL = ("-m", "fsbench")
AND_SAY_TORCH = (
    "-c",
    "import sys; from fsbench.cli.main import main; "
    "main(sys.argv[1:], standalone_mode=False); print('torch imported:', 'torch' in sys.modules)",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The out folder of a table with ten rows and two columns."""
    out = tmp_path_factory.mktemp("table")
    store = RecordStore(out / "records")
    for number, label in enumerate(METHODS):
        for shot in (1, 5):
            store.write(make_record(label, (50 + number, 55 + shot, 60), shot=shot))
    return out


@pytest.mark.parametrize(("command", "seconds"), [("--help", 0.3), ("table", 1)])
def test_start(command: str, seconds: float, folder: Path, beside: Beside) -> None:
    words = [command, *([str(folder)] if command == "table" else [])]

    def agree(ours: str, _: str) -> None:
        """It did what it was asked to, and again without torch."""
        wanted = METHODS if command == "table" else ["Usage: fsbench"]
        assert all(text in ours for text in wanted)
        assert python(*AND_SAY_TORCH, *words).endswith("torch imported: False\n")

    beside(
        "start-up",
        f"fsbench {command}" + (f" of {2 * len(METHODS)} records" if command == "table" else ""),
        ours=partial(python, *AS_TOOL, *words),
        peer=partial(python, "-c", "import torch"),
        peer_name="python -c 'import torch'",
        agree=agree,
        unit="starts/s",
        our_work=1,
        note=f"a whole process each; ours is to take less than {seconds} s: more than {1 / seconds:.2g} starts/s",
    )


def python(*words: str) -> str:
    """What a new interpreter prints; it must exit with 0."""
    return subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout
