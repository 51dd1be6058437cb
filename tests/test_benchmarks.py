"""The benchmarks run: each compares both results before it would time them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_those_of_small_images_run() -> None:
    words = ["-m", "pytest", "benchmarks", "--benchmark-disable", "-q", "-k", "not miniImageNet and not memory"]
    root = Path(__file__).parent.parent
    ended = subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert " passed" in ended.stdout
