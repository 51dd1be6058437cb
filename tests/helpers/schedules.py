"""Schedules of a few small steps."""

from __future__ import annotations

from fsbench.engine.schedule import Schedule
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.sampler import Rules

__all__ = ["SCHEDULE", "TASKS"]

TASKS = Schedule(
    protocol=FixedProtocol("train", 5, 1, 3, 0, 0),
    size=1,
    seed=0,
    steps=12,
    rate=1e-3,
    halve_every=5,
    weight_decay=0.0,
    clip=1.0,
    validate_every=4,
    patience=None,
    augment=False,
    rules=Rules(),
)
SCHEDULE = Schedule(
    protocol=None,
    size=2,
    seed=0,
    steps=100,
    rate=1e-3,
    halve_every=4,
    weight_decay=1e-4,
    clip=1.0,
    validate_every=100,
    patience=None,
    augment=False,
    rules=Rules(),
)
