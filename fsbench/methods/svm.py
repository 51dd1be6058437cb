"""Multi-class support vector machines, many of them side by side, solved exactly and differentiated exactly.

The dual problem of Crammer and Singer (JMLR 2001) for S examples of W classes with the labels y, in the form of Lee et
al. (CVPR 2019, equation 8) and their code:

    minimise  1/2 sum_m a_m^T K a_m - sum_i a_{y_i, i}   such that  a_{m, i} <= u_{m, i}  and  sum_m a_{m, i} = 0,

with K the products of the examples plus the identity, and u_{m, i} = c for m = y_i and 0 else. Its solution is unique.

If it is known which entries lie on their bounds, the others follow from linear equations. Which they are is found by a
primal-dual active-set method: entries beyond their bounds are put on them, and those that a negative multiplier holds
on them are let go, until nothing changes. That takes three to ten solutions, unless it goes in circles, as it does for
examples that are many and long in few dimensions. Those problems are approached by an interior-point method first.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["solve_svm"]

_TOLERANCE: Final = 1e-10  # of coefficients and multipliers, both of the size of labels
_CHANGES: Final = 20
_INTERIOR_STEPS: Final = 60
_REDUCTION, _TO_THE_BOUND, _ENOUGH = 0.1, 0.99, 1e-15  # of complementarity a step; of the way; where it is taken for 0


def solve_svm(products: Tensor, members: Tensor, c: float) -> Tensor:
    """Coefficients a of the machines, float64 `[B, S, way]`, with gradients to `products`.

    The gradient is that of the linear equations of the entries within their bounds, which is the solution's own
    wherever that has one.

    Args:
        products: Of the examples, without the identity, float64 `[B, S, S]`.
        members: The labels as indicator vectors, float64 `[B, S, way]`.
        c: The bound, above 0; may be infinite.
    """
    targets, examples = members.mT, products.shape[-1]
    kernel = products + torch.eye(examples, dtype=products.dtype, device=products.device)
    # no entry is larger: |a|^2 <= sum_m a_m^T K a_m <= 2 sum_i a_{y_i, i} <= 2 sqrt(S) |a|, since a = 0 is allowed
    bounds = min(c, 2 * examples**0.5 + 1) * targets
    with torch.no_grad():
        free, left = _settled(kernel, targets, bounds, torch.ones_like(targets, dtype=torch.bool))
        if len(left):
            hard = kernel[left], targets[left], bounds[left]
            near = _interior(*hard)
            found, still = _settled(*hard, near.clone())
            found[still] = near[still]
            free[left] = found
    return _solved(kernel, targets, bounds, free)[0].mT


def _settled(kernel: Tensor, targets: Tensor, bounds: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Which entries lie within their bounds, from a guess, bool `[B, way, S]`; and the problems not solved, `[L]`."""
    left = torch.arange(len(free), device=free.device)
    for _ in range(_CHANGES):
        within = free[left]
        entries, multipliers = _solved(kernel[left], targets[left], bounds[left], within)
        free[left] = torch.where(within, entries <= bounds[left] + _TOLERANCE, multipliers < -_TOLERANCE)
        left = left[(free[left] != within).flatten(1).any(1)]
        if not len(left):
            break
    return free, left


def _solved(kernel: Tensor, targets: Tensor, bounds: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Entries and multipliers, `[B, way, S]`, if the entries that are not `free` lie on their bounds.

    An example always has a free entry, since its entries add up to 0, and its bounds to c.
    """
    mask = free.to(kernel.dtype)
    held = bounds * (1 - mask)
    systems = mask.unsqueeze(-1) * kernel.unsqueeze(1) * mask.unsqueeze(-2) + torch.diag_embed(1 - mask)
    entries, sums = _coupled(systems, mask * (targets - held @ kernel) + held, torch.diag_embed(mask))
    return entries, targets - entries @ kernel - sums.unsqueeze(1)


def _coupled(systems: Tensor, right: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
    """The x `[B, way, S]` and b `[B, S]` of systems x = right - reached b, of which the x add up to 0 over the ways.

    Every class has a system `[S, S]` of its own; b, one number an example, couples them and is eliminated.
    """
    both = torch.linalg.solve_ex(systems, torch.cat([right.unsqueeze(-1), reached], dim=-1))[0]
    uncoupled, response = both[..., 0], both[..., 1:]
    sums = torch.linalg.solve_ex(response.sum(1), uncoupled.sum(1))[0]
    return uncoupled - (response @ sums[:, None, :, None]).squeeze(-1), sums


def _interior(kernel: Tensor, targets: Tensor, bounds: Tensor) -> Tensor:
    """Which entries lie within their bounds, bool `[B, way, S]`, as a primal-dual interior-point method has it.

    From an interior point whose slacks are equal, Newton's steps on the conditions of the optimum, the product of slack
    and multiplier being asked to be a tenth of its mean instead of 0.
    """
    way = targets.shape[1]
    eye = torch.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device).expand(*targets.shape, -1)
    entries = bounds - bounds.sum(1, keepdim=True) / way
    slacks, sums = bounds - entries, torch.zeros_like(entries[:, 0])
    multipliers = (targets - entries @ kernel).abs().amax((1, 2), keepdim=True).expand_as(entries)
    for _ in range(_INTERIOR_STEPS):
        gap = (slacks * multipliers).mean((1, 2), keepdim=True)
        if not (going := gap > _ENOUGH).any():
            break
        weights = multipliers / slacks
        systems = kernel.unsqueeze(1) + torch.diag_embed(weights)
        right = targets - entries @ kernel - sums.unsqueeze(1) - _REDUCTION * gap / slacks
        step, change = _coupled(systems, right, eye)
        turn = (_REDUCTION * gap / slacks) - multipliers + weights * step
        reach = torch.maximum(step / slacks, -turn / multipliers).amax((1, 2), keepdim=True)
        share = _TO_THE_BOUND / reach.clamp_min(_TO_THE_BOUND)
        entries = (entries + share * step).where(going, entries)
        slacks = (slacks - share * step).where(going, slacks)  # a difference of the bounds would round to 0
        multipliers = (multipliers + share * turn).where(going, multipliers)
        sums = (sums + share[:, 0] * change).where(going[:, 0], sums)
    return slacks > multipliers
