from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from types import FrameType

import pytest
import torch

from fsbench.engine.checkpoints import load_checkpoint, save_checkpoint
from fsbench.errors import RecordError

TENSORS = {"weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(3)}
HEADER = {"progress": {"step": 3, "history": [0.1, None]}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "a.safetensors", TENSORS, HEADER)
    return tmp_path / "a.safetensors"


def test_what_is_saved_comes_back(path: Path) -> None:
    found = load_checkpoint(path)
    assert found is not None
    assert found[1] == HEADER
    assert all(torch.equal(found[0][name], tensor) for name, tensor in TENSORS.items())


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none.safetensors") is None


def test_equal_content_gives_equal_bytes(path: Path) -> None:
    save_checkpoint(path.with_name("b.safetensors"), dict(reversed(TENSORS.items())), HEADER)
    assert path.read_bytes() == path.with_name("b.safetensors").read_bytes()


def test_it_is_written_as_every_file_is(tmp_path: Path, path: Path) -> None:
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("part", range(20))
def test_a_truncated_file_is_damaged(path: Path, part: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * part // 20])
    with pytest.raises(RecordError, match="is damaged"):
        load_checkpoint(path)


def test_any_flipped_byte_is_damage(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.index(b"fsbench")
    for position in range(start, len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            found = load_checkpoint(path)
        except RecordError:
            continue
        assert found is not None  # padding of the header carries nothing
        assert found[1] == HEADER
        assert all(torch.equal(found[0][name], tensor) for name, tensor in TENSORS.items())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C, but never in what measures coverage: it would keep its lock, and the next test wait for it."""
    above = frame
    while above is not None:
        if f"{os.sep}coverage{os.sep}" in above.f_code.co_filename:
            signal.setitimer(signal.ITIMER_REAL, 1e-4, 1.0)
            return
        above = above.f_back
    signal.default_int_handler(number, frame)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file open and not yet in its `with`
@pytest.mark.timeout(method="thread")  # the test has the timer
def test_an_interrupted_reader_is_not_a_damaged_file(path: Path) -> None:
    save_checkpoint(path, {f"{number}": torch.ones(50) for number in range(200)}, {})
    started = time.perf_counter()
    load_checkpoint(path)
    seconds, draw = time.perf_counter() - started, random.Random(0)
    former = signal.signal(signal.SIGALRM, _interrupt)
    try:
        for _ in range(100):
            with pytest.raises(KeyboardInterrupt):
                # once more after a second, if the first one is lost where Python takes no exceptions
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, seconds), 1.0)
                while True:
                    load_checkpoint(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
