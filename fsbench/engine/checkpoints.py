"""Checkpoints: tensors and a JSON header in one safetensors file, with a checksum over both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fsbench.errors import RecordError
from fsbench.files.atomic import canonical_json, write_atomic
from fsbench.files.reading import read_bytes

__all__ = ["SECONDS_A_SAVE", "load_checkpoint", "save_checkpoint"]

SECONDS_A_SAVE: Final = 120.0  # of work that is under way; the state of a large network takes a second
_KEY = "fsbench"
_LARGEST = 2**32  # bytes


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header in one step.

    Raises:
        OutputError: The folder cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = canonical_json({"header": header, "checksum": _checksum(plain, header)})
    write_atomic(path, save(plain, metadata={_KEY: content.decode()}))  # `save_file` has temporary files of its own


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint: tensors on the CPU and the header, or None when there is no file.

    Raises:
        RecordError: The file is damaged.
    """
    if not path.exists():
        return None
    try:
        data = read_bytes(path, _LARGEST)
        tensors = load(data)  # which sees that there is such a head
        content = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][_KEY])
        header = content["header"]
        if not isinstance(header, dict):
            raise TypeError("the header is no table")
        whole = _checksum(tensors, header) == content["checksum"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(f"the checkpoint {path} is damaged ({type(error).__name__}).") from error
    if not whole:
        raise RecordError(f"the checkpoint {path} is damaged (its checksum does not fit its content).")
    return tensors, header


def _checksum(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    whole = hashlib.sha256(canonical_json(header))
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.reshape(-1).numpy().tobytes())
    return whole.hexdigest()
