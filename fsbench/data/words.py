"""What the names of classes mean, where they are WordNet ids."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

__all__ = ["in_words"]


def in_words(name: str) -> str:
    """The words for a WordNet id of ILSVRC 2012, of which miniImageNet and tieredImageNet are parts; else the name."""
    return _words().get(name, name)


@cache
def _words() -> dict[str, str]:
    file = resources.files("fsbench.data") / "cards" / "ilsvrc_2012" / "words.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
