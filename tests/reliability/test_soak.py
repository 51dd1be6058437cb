"""Two hundred cells in one process: memory stays flat, and nothing is left open or running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from helpers.tiny import write_source, write_suite

ROWS = ("knn", "finetune", "proto", "matching")
SEEDS = 25  # times four rows and two shots: 200 cells
WARM = 80  # cells, after which caches and the allocator have what they need
LIMIT = 80  # KiB a cell, three quarters of what a kept checkpoint of this suite would be; coverage costs some too

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

WATCHED = """
import json, os, sys
from pathlib import Path
from fsbench.cli.main import main
from fsbench.record_files import RecordStore

samples, write = [], RecordStore.write

def look():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    tasks = list(Path("/proc/self/task").iterdir())
    children = sum(len((task / "children").read_text().split()) for task in tasks)
    resident = pages * os.sysconf("SC_PAGE_SIZE") / 1024
    samples.append((resident, len(os.listdir("/proc/self/fd")), len(tasks), children))

def watched(store, record):
    path = write(store, record)
    look()
    return path

RecordStore.write = watched
main(sys.argv[2:], standalone_mode=False)
look()
Path(sys.argv[1]).write_text(json.dumps(samples))
"""


class Sample(NamedTuple):
    """What the process has after a cell; the last is taken at the end."""

    resident: float  # KiB
    descriptors: int
    threads: int
    children: int


def soak(folder: Path) -> list[Sample]:
    """Run a small suite in a process of its own that looks at itself after every cell."""
    write_source(folder, images=40)
    suite = write_suite(
        folder / "tiny.toml",
        ("width = 8", "width = 32"),
        ("steps = 4\nrate", "steps = 1\nrate"),
        *[("steps = { 1 = 4, 5 = 3 }", "steps = { 1 = 1, 5 = 1 }")] * 2,
        ("\nnumber = 4", "\nnumber = 2"),
        rows=ROWS,
    )
    run = ("run", "--suite", suite, "--out", folder / "out", "--device", "cpu", "--seeds", SEEDS)
    result = folder / "samples.json"
    command = [sys.executable, "-c", WATCHED, result, *run]
    environment = os.environ | {"FSBENCH_CACHE": str(folder), "FSBENCH_DATA": str(folder), "OMP_NUM_THREADS": "1"}
    subprocess.run([str(word) for word in command], env=environment, check=True, stdout=subprocess.DEVNULL)
    return [Sample(*sample) for sample in json.loads(result.read_text())]


def slope(samples: list[Sample]) -> float:
    """How memory grows, KiB a cell."""
    return float(np.polyfit(range(len(samples)), [sample.resident for sample in samples], 1)[0])


def test_two_hundred_cells_leave_nothing_behind(tmp_path: Path) -> None:
    *cells, end = soak(tmp_path)
    assert len(cells) == 2 * SEEDS * len(ROWS) == 200
    growth = slope(cells[WARM:])
    print(f"memory grows by {growth:.1f} KiB a cell")
    assert growth < LIMIT
    assert max(cell.descriptors for cell in cells[WARM:]) <= cells[0].descriptors
    assert max(cell.threads for cell in cells[WARM:]) <= max(cell.threads for cell in cells[:WARM])
    assert end.descriptors <= cells[0].descriptors
    assert end.children == 0
