"""TOML files that build on others: each says only what differs from its base."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fsbench.errors import SuiteError, UsageError
from fsbench.files.reading import read_text
from fsbench.files.toml import keys_of, line_of, merged, parse_toml

__all__ = ["Layer", "content_of", "place_of", "read_layers"]

_BASE = "base"
# The keys whose values may be paths, which are looked for beside the file that says them.
_PATHS = re.compile(r"methods\.[^.]+\.method|(methods\.[^.]+\.)?backbone\.name|backbones\.[^.]+\.(build|weights|files)")


@dataclass(frozen=True)
class Layer:
    """One file.

    Attributes:
        name: What to call it.
        at: Where it is.
        text: What is in it.
        content: What that says, paths as from the folder of the first layer.
    """

    name: str
    at: Traversable
    text: str
    content: dict[str, Any]


def read_layers(name: str, find: Callable[[str], Traversable]) -> list[Layer]:
    """A file, its base, the base of that, and so on.

    A base is a name, or the path of a TOML file beside the file that says so.

    Args:
        name: As `find` takes it.
        find: From a name or path to the file.

    Raises:
        UsageError: There is no such file.
        SuiteError: One cannot be read, has a base that does not exist or leads back to it, or has no name of its own.
    """
    layers = [_read(name, find(name))]
    while (base := layers[-1].content.get(_BASE)) is not None:
        last = layers[-1]
        where = f"{place_of([last], [_BASE])}: base"
        if "name" not in last.content:  # that of the base stands for other results, and names their folder
            raise SuiteError(
                f"{where} is {base!r}, whose name is taken; give this suite a name of its own, as name = ..."
            )
        if not isinstance(base, str):
            raise SuiteError(f"{where} is {base!r:.80}, which is no name of a suite and no path.")
        if base.endswith(".toml") and isinstance(last.at, Path):
            base = os.path.normpath(last.at.parent / base)
        try:
            layer = _read(base, find(base))
        except UsageError as error:
            raise SuiteError(f"{where} is no suite: {error}") from error
        if any(_same(layer.at, each.at) for each in layers):
            on = " on ".join(each.name for each in [*layers, layer])
            raise SuiteError(f"{where} leads back to {layer.name}: {on}; leave one of them out.")
        layers.append(_seen_from(layers[0], layer))
    return layers


def content_of(layers: Sequence[Layer]) -> dict[str, Any]:
    """What the first layer says, with what those below say where it is silent."""
    content: dict[str, Any] = {}
    for layer in reversed(layers):
        content = merged(content, layer.content)
    return {key: value for key, value in content.items() if key != _BASE}


def place_of(layers: Sequence[Layer], keys: Sequence[str]) -> str:
    """The file and line where some keys stand, or should."""
    has = (layer for layer in layers if len(keys_of(layer.content, tuple(keys), missing=False)) == len(keys))
    layer = next(has, layers[0])
    line = line_of(layer.text, list(keys))
    return f"{layer.name}, line {line}" if line else layer.name


def _read(name: str, file: Traversable) -> Layer:
    called = name if name.endswith(".toml") else f"{name}.toml"
    try:
        text = read_text(file) if isinstance(file, Path) else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"the suite file {called} cannot be read ({error}).") from error
    try:
        return Layer(called, file, text, parse_toml(text))
    except ValueError as error:
        raise SuiteError(f"{called} is not valid TOML: {error}.") from error


def _same(one: Traversable, other: Traversable) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other


def _seen_from(first: Layer, layer: Layer) -> Layer:
    """A layer with the paths of files beside it as one writes them beside the first layer."""
    if not (isinstance(first.at, Path) and isinstance(layer.at, Path)):
        return layer
    own, wanted = layer.at.resolve().parent, first.at.resolve().parent

    def moved(said: Any, at: str) -> Any:
        if isinstance(said, dict):
            return {key: moved(value, f"{at}.{key}".lstrip(".")) for key, value in said.items()}
        if isinstance(said, list):
            return [moved(value, at) for value in said]
        if not (isinstance(said, str) and _PATHS.fullmatch(at)):
            return said
        path, colon, attribute = said.partition(".py:")
        path += ".py" if colon else ""
        if Path(path).is_absolute() or not (own / path).is_file():
            return said
        return Path(os.path.relpath(own / path, wanted)).as_posix() + colon.removeprefix(".py") + attribute

    return layer if own == wanted else Layer(layer.name, layer.at, layer.text, moved(layer.content, ""))
