"""DropBlock: how much it drops, in what squares, and when."""

from __future__ import annotations

import pytest
import torch

from fsbench.backbones.drop import DropBlock


def dropped(rate: float, block: int, edge: int, maps: int = 4000) -> torch.Tensor:
    """Maps of ones after it."""
    torch.manual_seed(0)
    return DropBlock(rate, block)(torch.ones(maps // 4, 4, edge, edge, dtype=torch.float64))


@pytest.mark.parametrize(("rate", "block", "edge"), [(0.1, 1, 6), (0.1, 5, 10), (0.3, 5, 5), (0.2, 5, 3), (0.1, 5, 1)])
def test_about_its_rate_is_dropped_and_the_mean_stays(rate: float, block: int, edge: int) -> None:
    maps = dropped(rate, block, edge)
    share = (maps == 0).double().mean((2, 3)).flatten()
    error = 4 * share.std() / len(share) ** 0.5
    assert share.mean() <= rate + error
    assert share.mean() >= 0.8 * rate - error  # squares overlap
    mean = maps.mean((2, 3)).flatten()
    assert abs(mean.mean() - 1) <= 4 * mean.std() / len(mean) ** 0.5


def test_maps_in_bf16_are_scaled_as_others() -> None:
    torch.manual_seed(0)
    exact = DropBlock(0.3, 5)(torch.ones(8, 4, 9, 9))
    torch.manual_seed(0)
    rounded = DropBlock(0.3, 5)(torch.ones(8, 4, 9, 9, dtype=torch.bfloat16))
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=2**-8, atol=0)  # half of bf16's last place, and no more
    assert rounded.unique().numel() == 2


def test_it_drops_squares_and_a_map_that_is_smaller_whole() -> None:
    zero = dropped(0.02, 3, 9) == 0
    alone = zero[zero.sum((2, 3)) == 9]
    assert len(alone) > 100
    assert all(part.any(0).sum() == part.any(1).sum() == 3 for part in alone)
    whole = (dropped(0.3, 5, 4) == 0).sum((2, 3))
    assert set(whole.unique().tolist()) == {0, 16}


def test_it_does_nothing_in_evaluation_and_at_a_rate_of_zero() -> None:
    maps = torch.rand(2, 3, 6, 6)
    state = torch.get_rng_state()
    assert DropBlock(0.5, 3).eval()(maps) is maps
    assert DropBlock(0.0, 3)(maps) is maps
    assert torch.equal(torch.get_rng_state(), state)
    assert str(DropBlock(0.5, 3)) == "DropBlock(rate=0.5, block=3)"
