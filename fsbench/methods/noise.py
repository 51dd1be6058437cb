"""Noise with an address: what a training step draws depends on the training's seed and the step alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fsbench.backbones.base import Backbone
from fsbench.methods.base import Method

__all__ = ["addressed_noise", "is_noisy"]


def is_noisy(method: Method) -> bool:
    """Whether the loss of a method draws from torch's generators, itself or in one of its backbones."""
    return method.noisy or any(module.noisy for module in method.modules() if isinstance(module, Backbone))


@contextmanager
def addressed_noise(seed: int, step: int, part: int, device: torch.device) -> Iterator[None]:
    """While it lasts, torch's generators are at a state of this address; then they are as they were.

    Args:
        seed: Of the training.
        step: Its number.
        part: Number of the step's first task that is done in it.
        device: What is drawn on.
    """
    address = hashlib.sha256(f"noise {seed} {step} {part}".encode()).digest()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(address[:8], "little"))
        yield
