"""A training step: forward, backward and Adam in our layout, beside the same step as it is usually written."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from fsbench.engine.schedule import Schedule
from fsbench.engine.steps import Stepper
from fsbench.episodes.sampler import Rules
from made import MINIIMAGENET, OMNIGLOT, Shape, contiguous, draw, method, plain, store

if TYPE_CHECKING:
    from conftest import Beside

RATE = 1e-3
SCHEDULE = Schedule(
    protocol=None,
    size=1,
    seed=0,
    steps=1000,
    rate=RATE,
    halve_every=None,
    weight_decay=0.0,
    clip=None,
    validate_every=1000,
    patience=None,
    augment=False,
    rules=Rules(),
)


@pytest.mark.allocation
@pytest.mark.parametrize(
    ("name", "shape", "target"),
    [
        ("proto", OMNIGLOT, 1.4),
        ("proto", MINIIMAGENET, 1.4),
        ("matching", OMNIGLOT, 1.4),
        ("matching", MINIIMAGENET, 1.4),
        ("relation", OMNIGLOT, None),
    ],
    ids=str,
)
def test_step(name: str, shape: Shape, target: float | None, tmp_path: Path, beside: Beside) -> None:
    images = store(tmp_path, shape)
    tasks = images.tasks(draw(images, 1, shot=5))
    fast, slow, usual = method(name, shape), plain(name, shape).train(), contiguous(tasks)
    step, numbers = Stepper(fast, SCHEDULE), itertools.count()
    optimiser = torch.optim.Adam(slow.parameters(), lr=RATE)

    def ours() -> Tensor:
        return step(tasks, next(numbers))

    def peer() -> Tensor:
        optimiser.zero_grad()
        loss = slow.loss(usual)
        loss.backward()
        optimiser.step()
        return loss.detach()

    def agree(first: Tensor, their_first: Tensor) -> None:
        torch.testing.assert_close(first, their_first, rtol=1e-4, atol=0)
        torch.testing.assert_close(ours(), peer(), rtol=1e-2, atol=0)  # one step of Adam apart: rounding grows

    beside(
        "training step",
        f"{fast.label}, 5-way 5-shot, {shape}",
        ours=ours,
        peer=peer,
        peer_name="plain eager step",
        agree=agree,
        unit="steps/s",
        our_work=1,
        target=target,
        note="one task of 100 images, in memory",
    )
