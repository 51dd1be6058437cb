"""Arrays in pickles that were published before there were better forms; nothing else in a pickle is called."""

from __future__ import annotations

import io
import pickle
from typing import Any, Final

import numpy as np

__all__ = ["load_arrays"]

_RECONSTRUCT: Final = np.empty(0).__reduce__()[0]
_CALLED: Final = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # its place since NumPy 2
}


def load_arrays(content: bytes) -> Any:
    """Lists, dictionaries, numbers, strings and NumPy's arrays of a pickle, which Python 2 may have written.

    The memory that it takes is not bounded, so the content should be compared with a checksum before.

    Raises:
        ValueError: It is no pickle, or asks for anything else.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises whatever comes up
        raise ValueError(f"{type(error).__name__}: {error}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CALLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return _CALLED[module, name]
