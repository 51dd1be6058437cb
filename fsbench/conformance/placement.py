"""Finds, on a CPU, the tensors that would stay there if the model and its tasks were on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = ["loose_tensors", "misplaced"]

_MAKERS: Final = frozenset(
    {
        *(torch.arange, torch.as_tensor, torch.asarray, torch.empty, torch.eye, torch.full, torch.linspace),
        *(torch.logspace, torch.ones, torch.rand, torch.randint, torch.randn, torch.randperm, torch.tensor),
        *(torch.tril_indices, torch.triu_indices, torch.zeros),
    }
)
_CROSSES: Final = frozenset(  # may be called with tensors of several devices
    {Tensor.to, Tensor.type_as, Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__}
)


class _MisplacedError(Exception):
    """Tensors meet that a GPU would keep apart."""


class _OnTheHost(Tensor):
    """A tensor that would be in the main memory even if the model and its tasks were on a GPU."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        elsewhere = [tensor for tensor in tensors if not isinstance(tensor, cls)]
        apart = func not in _CROSSES or (func is Tensor.__getitem__ and isinstance(args[0], cls))
        if apart and elsewhere and any(isinstance(tensor, cls) and tensor.dim() for tensor in tensors):
            raise _MisplacedError(
                f"torch's {getattr(func, '__name__', func)} brings together a tensor made without a device, and one "
                "that follows the input"
            )
        result = super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        moved = any(isinstance(leaf, torch.device) for leaf in tree_leaves((args, kwargs or {})))
        if isinstance(result, Tensor) and (elsewhere or moved):
            return result.as_subclass(Tensor)
        return result


class _Watch(TorchFunctionMode):
    """Marks what is made without a device, and what is taken to the main memory."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.numpy and not isinstance(args[0], _OnTheHost):
            raise _MisplacedError("Tensor.numpy is called on a tensor that follows the input, without Tensor.cpu")
        result = func(*args, **kwargs)
        if func is Tensor.cpu:
            return result.as_subclass(_OnTheHost)
        if func in _MAKERS and kwargs.get("device") is not None:
            return result.as_subclass(Tensor)
        if func in _MAKERS and not (args and isinstance(args[0], Tensor)):
            return result.as_subclass(_OnTheHost)
        return result


def misplaced(act: Callable[[], object]) -> str | None:
    """Do something; say which operation in it would fail on a GPU because of where its tensors are."""
    try:
        with _Watch():
            act()
    except _MisplacedError as error:
        return str(error)
    return None


def loose_tensors(model: nn.Module) -> Iterator[str]:
    """The names of the tensors that a model holds as plain attributes, which neither move nor are saved with it."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)):
                yield f"{path}.{name}".lstrip(".")
