"""Of a pickle, arrays and plain values are read, and nothing is called."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsbench.files.pickled import load_arrays


class Payload:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def test_arrays_and_plain_values_are_read() -> None:
    value = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], "names": ["a", "b"], "batch": 1.5}
    read = load_arrays(pickle.dumps(value, 4))
    np.testing.assert_array_equal(read.pop("data"), value.pop("data"))  # type: ignore[arg-type]
    assert read == value


@pytest.mark.parametrize(
    "payload",
    [
        Payload(os.mkdir, "pwned"),
        Payload(eval, "1"),
        Payload(getattr, "", "upper"),
        Payload(np.load, "x.npy"),
        Payload(__import__, "os"),
        [Payload(np.fromfile, "x")],
    ],
)
def test_nothing_else_is_called(payload: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in (0, 2, 4):
        with pytest.raises(ValueError, match="which is no array"):
            load_arrays(pickle.dumps(payload, protocol))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"x", b".", b"(", b"\x80\x04", b"\x80\xff.", b"I1", b"cnumpy\nndarray\n(tR."])
def test_anything_else_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        load_arrays(content)
