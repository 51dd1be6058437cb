"""What a network makes of fixed pictures, in few numbers: equal weights in other code are seen by it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from fsbench.backbones.built import Built
from fsbench.backbones.specification import PretrainedSpec
from fsbench.errors import FsbenchError, SuiteError, UsageError

__all__ = ["fingerprint_of", "fingerprints_agree", "probed"]

_PICTURES: Final = 8
_NUMBERS: Final = 4  # of a picture's features, in a fingerprint
_TOLERANCE: Final = 1e-3  # of the root mean square of a fingerprint: machines differ by 1e-5


def probed(name: str, spec: PretrainedSpec, built: Built) -> tuple[Tensor, int]:
    """Features `[8, D]` of the fixed pictures, and the numbers of the largest map of one of them.

    Raises:
        SuiteError: The network fails on them, or does not give one vector of finite numbers for each.
    """
    built.module.eval()
    try:
        with torch.no_grad(), _largest_map(built.module) as largest:
            features: object = built.embed(_pictures(built.size))
    except FsbenchError:
        raise
    except Exception as error:  # somebody else's network raises whatever comes up
        raise SuiteError(
            f"backbones.{name} ({spec.build}) fails on images of {built.size}x{built.size} pixels "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]:.200}); change images.size."
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != _PICTURES:
        given = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UsageError(
            f"backbones.{name} ({spec.build}) gives {given} for {_PICTURES} images instead of a vector for each; wrap "
            "it in a class of a file."
        )
    if not features.isfinite().all():
        raise SuiteError(f"backbones.{name} ({spec.build}) gives features that are not finite; get other weights.")
    return features, max(largest) // _PICTURES


def fingerprint_of(features: Tensor) -> tuple[float, ...]:
    """32 numbers: four fixed projections of the features `[8, D]` of every picture."""
    raw = np.random.Philox(key=1).random_raw(features.shape[1] * _NUMBERS)
    signs = torch.from_numpy((raw >> np.uint64(63)).astype(np.float64) * 2 - 1).view(-1, _NUMBERS)
    projected = features.double().cpu() @ signs / math.sqrt(features.shape[1])
    return tuple(float(f"{value:.6g}") for value in projected.flatten().tolist())


def fingerprints_agree(ours: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two fingerprints are of the same features, up to the arithmetic of machines.

    Equal weights in a library that changed have another fingerprint: another padding, epsilon or interpolation.
    """
    if len(ours) != len(other) or not ours:
        return len(ours) == len(other)
    scale = math.sqrt(sum(value**2 for value in other) / len(other))
    return all(abs(a - b) <= _TOLERANCE * scale for a, b in zip(ours, other, strict=True))


@contextmanager
def _largest_map(module: nn.Module) -> Iterator[list[int]]:
    """Collects the numbers of every tensor that a part of a network gives while it lasts."""
    found = [0]

    def look(_: nn.Module, __: object, given: object) -> None:
        if isinstance(given, Tensor):
            found.append(given.numel())

    hooks = [part.register_forward_hook(look) for part in module.modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _pictures(size: int) -> Tensor:
    """Eight fixed images of smooth noise `[8, 3, size, size]`, normalised to mean 0 and about unit scale."""
    raw = np.random.Philox(key=0).random_raw(_PICTURES * 3 * 8 * 8)
    coarse = torch.from_numpy((raw >> np.uint64(40)).astype(np.float32) / 2**23 - 1).view(_PICTURES, 3, 8, 8)
    return torch.nn.functional.interpolate(2 * coarse, (size, size), mode="bilinear", align_corners=False)
