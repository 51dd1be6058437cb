"""TOML that nobody vouches for, and where in it something stands."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

__all__ = ["keys_of", "line_of", "merged", "parse_toml", "shown"]

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


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables merged, at every depth; of anything else, what is above."""
    both = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = merged(below[key], above[key])
    return both


def keys_of(content: Any, location: tuple[int | str, ...], missing: bool) -> list[str]:
    """The keys of the file that lead to an error, without the names of the types that were tried on the way."""
    keys = []
    for part in location:
        if isinstance(content, dict) and part in content:
            content = content[part]
            keys.append(str(part))
    return [*keys, str(location[-1])] if missing else keys


def shown(key: str) -> str:
    """A key as TOML writes it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def line_of(text: str, keys: list[str]) -> int | None:
    """The line of a key, found by its table header and its name; of the header if the key is absent."""
    header: list[str] = []
    best: tuple[int, int] | None = None  # (how many keys match, line)
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[+([^\]]+)\]", line):
            header = [part.strip().strip("\"'") for part in match[1].split(".")]
            path = header
        elif match := re.match(r"\s*([A-Za-z0-9_.\-]+)\s*=", line):
            path = [*header, *match[1].split(".")]
        else:
            continue
        if path == keys[: len(path)] and (best is None or len(path) > best[0]):
            best = (len(path), number)
    return best[1] if best else None
