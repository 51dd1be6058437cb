"""The precision of trainings and embeddings: bf16 in the backbone where the processor has it, and fp32 elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.errors import DeviceError

__all__ = ["Precision", "backbones_in", "pick_precision"]

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
_BF16_CAPABILITY = (8, 0)  # of NVIDIA's GPUs, from Ampere on


def pick_precision(choice: Precision, device: torch.device, *, deterministic: bool) -> Literal["fp32", "bf16"]:
    """The precision for a choice; "auto" is bf16 where the processor has it, unless bits are to be reproducible.

    Raises:
        DeviceError: bf16 is asked for, and the processor would emulate it.
    """
    if choice == "auto":
        return "bf16" if _has_bf16(device) and not deterministic else "fp32"
    if choice == "bf16" and not _has_bf16(device):
        raise DeviceError(
            f"this {'CPU' if device.type == 'cpu' else 'GPU'} has no bf16 arithmetic; use --precision fp32, or auto."
        )
    return choice


@contextmanager
def backbones_in(precision: Literal["fp32", "bf16"], module: nn.Module) -> Iterator[None]:
    """While it lasts, the backbones in a module compute in bf16, if that is the precision; their features are fp32.

    Weights, their gradients and the parameters and statistics of batch normalisation stay fp32, and so does all that a
    method does with features. So does a backbone while it is differentiated twice: its statistics are then taken by
    operations of the maps' type, which bf16 would round to three digits.
    """
    with ExitStack() as hooks:
        for part in module.modules() if precision == "bf16" else ():
            if isinstance(part, Backbone):
                _hook(part, hooks)
        yield


def _hook(backbone: Backbone, hooks: ExitStack) -> None:
    """Have every call of a backbone run under autocast, until the hooks are closed."""
    inside: list[ExitStack] = []

    def enter(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        images = [*arguments, *named.values()][0]
        inside.append(ExitStack())
        inside[-1].enter_context(torch.autocast(images.device.type, torch.bfloat16, enabled=not backbone.twice))

    def leave(_: nn.Module, arguments: tuple[Any, ...], features: Tensor | None) -> Tensor | None:
        inside.pop().close()
        return features if features is None else features.float()

    remove: list[Callable[[], None]] = [
        backbone.register_forward_pre_hook(enter, with_kwargs=True).remove,
        backbone.register_forward_hook(leave, always_call=True).remove,
    ]
    for each in remove:
        hooks.callback(each)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported()
