"""Arrays in files that nobody vouches for."""

from __future__ import annotations

import warnings
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from fsbench.files.reading import open_regular

__all__ = ["UNREADABLE", "open_array"]

# What NumPy raises at headers that are cut, damaged or made to do harm.
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RuntimeError),
    *(SyntaxError, TokenError),
)


def open_array(path: Path) -> npt.NDArray[Any]:
    """Memory-map a `.npy` file: nothing is unpickled, and what its header claims is compared with its size.

    Raises:
        ValueError: It is no such file, or is cut.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of headers that Python 2 wrote
            with open_regular(path):  # NumPy opens it again, and would wait for a pipe
                return np.lib.format.open_memmap(path, mode="r")
    except UNREADABLE as error:
        raise ValueError(str(error)) from error
