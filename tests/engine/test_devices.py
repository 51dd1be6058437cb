"""What holds for a whole process, and what is known of its machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fsbench.engine.devices import _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, pick_device, tune_process
from fsbench.engine.precision import pick_precision
from fsbench.engine.transfer import send
from fsbench.errors import DeviceError, FsbenchError

pytestmark = pytest.mark.usefixtures("process_as_before")


def _has_large_pages() -> bool:
    of_system = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return of_system.exists() and "[madvise]" in of_system.read_text(encoding="utf-8")


def test_a_deterministic_run_leaves_nothing_behind() -> None:
    for deterministic in (True, False):
        tune_process(deterministic=deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert torch.backends.cudnn.allow_tf32 != deterministic
        assert torch.backends.cudnn.benchmark != deterministic


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_gpu_does_not_search_anew_for_every_shape(deterministic: bool) -> None:
    tune_process(deterministic=deterministic, one_shape=False)
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize("deterministic", [False, True])
def test_products_of_matrices_are_never_in_tf32(deterministic: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    tune_process(deterministic=deterministic)
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap is set")
@pytest.mark.parametrize("one_shape", [True, False])
def test_memory_is_kept_between_steps_only_where_the_next_one_needs_as_much(one_shape: bool) -> None:
    program = f"""
import torch
from pathlib import Path
from fsbench.engine.devices import tune_process
tune_process(deterministic=False, one_shape={one_shape})
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before, large = resident(), torch.ones(100_000_000, dtype=torch.uint8)
del large
print(resident() - before)
"""
    kept = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert (kept > 90e6) == one_shape


@pytest.mark.slow
@pytest.mark.skipif(not _has_large_pages(), reason="the system gives no large pages to those who ask")
def test_memory_for_many_shapes_comes_in_large_pages() -> None:
    program = """
import resource, torch
from fsbench.engine.devices import tune_process
tune_process(deterministic=False, one_shape=False)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before, large = faults(), torch.ones(100_000_000, dtype=torch.uint8)
print(faults() - before)
"""
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 12_000  # half of its small pages: some of the large ones may not be free


@pytest.mark.parametrize(
    ("most", "asked"),
    [
        (1 << 62, [(_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1)]),
        (1 << 25, [(_M_MMAP_THRESHOLD, 1 << 30), (_M_MMAP_THRESHOLD, 1 << 25), (_M_TRIM_THRESHOLD, (1 << 31) - 1)]),
        (1 << 20, [(_M_MMAP_THRESHOLD, 1 << 30), (_M_MMAP_THRESHOLD, 1 << 25)]),
    ],
)
def test_an_older_glibc_gets_what_it_takes(
    most: int, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(what: int, value: int) -> int:
        calls.append((what, value))
        return int(what != _M_MMAP_THRESHOLD or value <= most)

    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    tune_process(deterministic=False)
    assert calls == asked


def test_an_apple_gpu_is_never_chosen_unasked_and_what_it_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    assert not caplog.messages
    assert pick_device("mps").type == "mps"
    assert "has not been tried" in caplog.text
    assert "float64" in caplog.text
    assert "PYTORCH_ENABLE_MPS_FALLBACK=1" in caplog.text
    assert pick_precision("auto", torch.device("mps"), deterministic=False) == "fp32"
    with pytest.raises(DeviceError, match="this GPU has no bf16"):
        pick_precision("bf16", torch.device("mps"), deterministic=False)


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"^no Apple GPU \(mps\) is available here; use --device cpu, or auto\.$"):
        pick_device("mps")
    with pytest.raises(FsbenchError, match="'mpss'"):
        pick_device("mpss")


class _Elsewhere:
    """Says that it is a device of Apple's; what goes there stays here."""

    type = "mps"


def test_an_apple_gpu_is_sent_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[torch.dtype] = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: sent.append(self.dtype) or self)
    places, shares = send([np.arange(3), np.array([0.5, 1.5])], _Elsewhere())  # type: ignore[arg-type]
    assert sent == [torch.int64, torch.float32]
    assert (places.tolist(), shares.tolist()) == ([0, 1, 2], [0.5, 1.5])
