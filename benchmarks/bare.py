"""The convolutions of some work without anything around them: a bound on how fast it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["bare_convolutions"]

_CONVOLUTIONS: Final = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)


class _Recorder(TorchDispatchMode):
    """Keeps the convolutions that it sees, in their order; of arguments that look alike only the first."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []
        self._known: dict[object, Callable[[], object]] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in _CONVOLUTIONS:
            kept = tuple(value.detach() if isinstance(value, Tensor) else value for value in args)
            look = (function, *(_look(value) for value in kept))
            self.calls.append(self._known.setdefault(look, lambda: function(*kept)))
        return function(*args, **(kwargs or {}))


def _look(value: object) -> object:
    """What tells one argument from another: of a tensor its shape, layout and type."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    return tuple(value) if isinstance(value, list) else value


def bare_convolutions(work: Callable[[], object]) -> Callable[[], int]:
    """The convolutions that `work` does, forward and backward, in its order, layouts and precision; returns how many.

    A result is freed before the next one is computed, as if nothing had to keep it.
    """
    with _Recorder() as recorder:
        work()

    @torch.no_grad()
    def bare() -> int:
        for call in recorder.calls:
            call()
        return len(recorder.calls)

    return bare
