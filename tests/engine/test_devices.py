"""What holds for a whole process, and what is known of its machine."""

from __future__ import annotations

import pytest
import torch

from fsbench.engine.devices import tune_process

pytestmark = pytest.mark.usefixtures("process_as_before")


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
