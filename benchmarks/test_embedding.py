"""Embedding a split: folded, channels last, pooled before ReLU; beside the backbone as it is usually written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from fsbench.engine.evaluation import embed_split
from made import MINIIMAGENET, OMNIGLOT, Shape, every, method, plain, store

if TYPE_CHECKING:
    from conftest import Beside


@pytest.mark.allocation
@pytest.mark.parametrize(
    ("shape", "step", "batch", "target"),
    [(OMNIGLOT, 12, 512, 2.5), (OMNIGLOT, 20, 64, None), (MINIIMAGENET, 90, 128, 2.5), (MINIIMAGENET, 150, 16, None)],
    ids=str,
)
def test_embed(shape: Shape, step: int, batch: int, target: float | None, tmp_path: Path, beside: Beside) -> None:
    images = every(step, store(tmp_path, shape))
    batches = images.images(images.indices).contiguous().split(batch)
    embed = plain("proto", shape).eval().embed

    @torch.no_grad()
    def peer() -> Tensor:
        return torch.cat([embed(part) for part in batches])

    beside(
        "embedding",
        f"Conv4-64, {shape}, beside batches of {batch}",
        ours=partial(embed_split, method("proto", shape), images),
        peer=peer,
        peer_name="plain eager backbone",
        agree=partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4),
        unit="images/s",
        our_work=len(images.indices),
        target=target,
        note="ours reads and normalises uint8 images too, the peer has float images in memory"
        + ("" if target else "; the peer's best batch"),
    )
