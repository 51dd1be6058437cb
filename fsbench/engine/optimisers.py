"""The optimisers of trainings: torch's, fused, which is fastest on a CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fsbench.engine.schedule import Schedule

__all__ = ["make_optimiser"]


def make_optimiser(parameters: Sequence[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    """The optimiser of a schedule, for parameters on one device.

    On a GPU the rate is a tensor, which a recording of a step reads again every time, and so must be changed in place.
    """
    device = parameters[0].device
    on_gpu = device.type == "cuda"
    rate = torch.tensor(schedule.rate, device=device) if on_gpu else schedule.rate
    decay = schedule.weight_decay
    if schedule.optimiser == "sgd":
        momentum, nesterov = schedule.momentum, schedule.nesterov
        return torch.optim.SGD(parameters, rate, momentum=momentum, weight_decay=decay, nesterov=nesterov, fused=True)
    kind = torch.optim.AdamW if schedule.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, rate, schedule.betas, weight_decay=decay, capturable=on_gpu, fused=True)
