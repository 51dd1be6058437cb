"""Weights from files: found, read without running anything, fitted to a network by name or order, and hashed."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from fsbench.errors import DataError, DataNotFoundError, SuiteError
from fsbench.files.reading import read_bytes

__all__ = ["find_weights", "load_into", "locate", "read_tensors", "weights_digest"]

_LARGEST: Final = 2**35  # bytes: the largest vision models
_WITHIN: Final = ("state_dict", "model")  # where checkpoints of trainings have the tensors
_COUNTER: Final = "num_batches_tracked"  # of batch normalisation; no feature depends on it
_SHOWN: Final = 3
_SAFETENSORS: Final = ".safetensors"


def find_weights(reference: str, beside: Path | None = None) -> Path:
    """The file of weights that a suite names, given as to `locate`.

    Raises:
        DataNotFoundError: There is no such file or package.
    """
    path = locate(reference, beside)
    if not path.is_file():
        raise DataNotFoundError(
            f"there are no weights in {path}; nothing is downloaded, so put the file there or name another."
        )
    return path


def locate(reference: str, beside: Path | None = None) -> Path:
    """Where a file is that a suite names, whether there is one or not.

    Args:
        reference: A path, or "package:MODULE/PATH" for a file of an installed package, which is not imported.
        beside: The folder in which a relative path is looked for before the working folder.

    Raises:
        DataNotFoundError: There is no such package.
    """
    if reference.startswith("package:"):
        module, _, inner = reference.removeprefix("package:").partition("/")
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            raise DataNotFoundError(
                f"{reference!r} is in the package {module!r}, which is not installed; install it, e.g. "
                f"`python -m pip install {module.replace('_', '-')}`."
            )
        return Path(spec.origin).parent / inner
    path = Path(reference).expanduser()
    return beside / path if beside is not None and (beside / path).is_file() else path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of safetensors, or of one that `torch.save` wrote, whose pickle may make tensors only.

    Those of `torch.save` are in the order in which they were saved. Safetensors sorts them when it writes, and gives
    them in another order in every process.

    Raises:
        DataError: The file cannot be read, is damaged, or holds something else.
    """
    try:
        data = read_bytes(path, _LARGEST)
        if path.suffix == _SAFETENSORS:
            found: Any = load_safetensors(data)
        else:
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise DataError(f"the weights {path} cannot be read ({error}); get the file again.") from error
    except Exception as error:  # a damaged or hostile pickle raises whatever comes up
        raise DataError(
            f"the weights {path} cannot be read ({type(error).__name__}): the file is damaged, or holds more than "
            "tensors; get it again, or save the model's state_dict as safetensors."
        ) from error
    for name in _WITHIN:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"the weights {path} hold no named tensors; save the model's state_dict.")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(f"the weights {path} hold {name!r:.80}, which is no tensor; save the model's state_dict.")
    return dict(found)


def load_into(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    match: Literal["names", "order"] = "names",
    unused: tuple[str, ...] = (),
) -> None:
    """Copy tensors into a network, every one of which must be there and fit.

    Args:
        module: The network.
        tensors: By name.
        path: Where they are from, for messages.
        match: "names" for equal names; "order" if the first tensor of the file is the first of the network, and so on.
        unused: Beginnings of the names of tensors that no feature depends on: a classifier's. They may be missing,
            surplus or of another shape.

    Raises:
        SuiteError: Tensors are missing or surplus, or have another shape; the text names the first. Or they are to be
            matched by order, and the file has none.
    """
    ordered = path.suffix != _SAFETENSORS
    if match == "order" and not ordered:
        raise SuiteError(
            f'{path} is of safetensors, which keeps no order of tensors; match = "order" needs a file of torch.save, '
            'and match = "names" one whose tensors have the names of the model.'
        )
    own = {name: value for name, value in module.state_dict().items() if not _is_unused(name, unused)}
    if match == "order":
        tensors = dict(zip(own, tensors.values(), strict=False)) | _rest(tensors, len(own), bool(unused))
    needed = [name for name in own if not name.endswith(_COUNTER)]
    missing = [name for name in needed if name not in tensors]
    surplus = [name for name in tensors if name not in own and not _is_unused(name, unused)]
    for names, what in ((missing, "lacks"), (surplus, "has beside those of the model")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise SuiteError(
                f"{path} {what} the tensors {', '.join(names[:_SHOWN])}{more}; name the architecture that it was "
                f"saved from{', or match by order' if ordered else ''}."
            )
    for name in needed:
        if tensors[name].shape != own[name].shape:
            raise SuiteError(
                f"{path} has {name} with the shape {tuple(tensors[name].shape)} where the model has "
                f"{tuple(own[name].shape)}; name the architecture that it was saved from."
            )
    module.load_state_dict({name: tensors[name] for name in own if name in tensors}, strict=False)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of a network's state: names in order, types, shapes and bytes; the file that it is from does not matter.

    Counters of batch normalisation are left out: no feature depends on them.
    """
    whole = hashlib.sha256()
    state = module.state_dict()
    for name in sorted(state):
        if not name.endswith(_COUNTER):
            value = state[name].detach().cpu().contiguous()
            whole.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _is_unused(name: str, unused: tuple[str, ...]) -> bool:
    return any(name == start or name.startswith(f"{start}.") for start in unused)


def _rest(tensors: Mapping[str, Tensor], used: int, has_classifier: bool) -> dict[str, Tensor]:
    """What follows the tensors that are matched by order; a classifier comes last and is not needed."""
    rest = dict(list(tensors.items())[used:])
    return {} if has_classifier and len(rest) <= 2 else rest
