"""What weights were pretrained on: the corpora that timm's tags name."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CORPORA", "corpora_of"]

CORPORA: Final = {  # name to what stands for it in a tag of timm
    "imagenet-1k": r"in1k",
    "imagenet-12k": r"in12k",
    "imagenet-21k": r"in21k|in22k",
    "lvd-142m": r"lvd142m",
    "lvd-1689m": r"lvd1689m",
    "laion-400m": r"laion400m",
    "laion-2b": r"laion2b|laiona",
    "datacomp": r"datacomp1b|datacompxl",
    "dfn": r"dfn2b|dfn5b",
    "openai-wit": r"openai",
    "webli": r"webli",
    "jft-300m": r"jft",
    "yfcc": r"yfcc15m|yfcc100m",
    "instagram-1b": r"ig1b",
    "metaclip": r"metaclip",
    "sa-1b": r"sa1b",
}

# Parts of tags that say how, not on what: recipes, authors, lengths and resolutions. A tag with any other part is not
# understood, and what stands for its weights is then unknown rather than half known.
_RECIPES: Final = re.compile(
    r"[a-d][123]h?|c2ns|a[ahmp]|agc|ch|d|ra[234]?|racm|ram|rmsp|rsb|bt|tf|tv2?|timm|fb|goog|gluon|msft|ms|aug|augreg2?|"
    r"orig|miil|lamb|lion|sw|sbb2?|nav|nv|mx|ix|pycls|rvgg|clip|ssl|ft|soup|s39b|ad|pd|ep|patch\d+|[er]?\d+|\d+ep|e\d+"
)


def corpora_of(tag: str) -> tuple[str, ...]:
    """The corpora that a tag of timm names; none where it names none, or has a part that is not understood.

    Args:
        tag: What follows the dot in a model's name, as "augreg_in21k_ft_in1k".
    """
    found: list[str] = []
    for part in tag.split("_") if tag else ():
        corpus = next((name for name, known in CORPORA.items() if re.fullmatch(known, part)), None)
        if corpus is not None:
            found.append(corpus)
        elif not _RECIPES.fullmatch(part):
            return ()
    return tuple(dict.fromkeys(found))
