"""TOML that nobody vouches for."""

from __future__ import annotations

import re
import tomllib
from typing import Any

__all__ = ["parse_toml"]

_MOST_PARTS = 100  # of a dotted key; tomllib takes their square in time
_STRING_OR_COMMENT = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|#[^\n]*')


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        ValueError: It is not valid, or is nested too deeply.
    """
    for line in _STRING_OR_COMMENT.sub("", text).splitlines():
        if line.count(".") > _MOST_PARTS:
            raise ValueError(f"a line has more than {_MOST_PARTS} dots outside of strings")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
