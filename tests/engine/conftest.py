"""What tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what `tune_process` sets for the whole process."""
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.benchmark, matmul.allow_tf32
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    cudnn.allow_tf32, cudnn.benchmark, matmul.allow_tf32 = before
    torch.use_deterministic_algorithms(deterministic)
