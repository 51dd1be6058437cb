"""What to cite: the papers of methods and sources, as BibTeX.

They stand in `papers.bib`; the keywords of an entry are the names of the methods and sources that it is cited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

__all__ = ["Paper", "cited", "load_papers"]


class Paper(NamedTuple):
    """One entry.

    Attributes:
        key: Its BibTeX key.
        names: Of the methods and sources that it is cited for.
        entry: The whole entry.
    """

    key: str
    names: frozenset[str]
    entry: str


@cache
def load_papers() -> tuple[Paper, ...]:
    """All papers, in the order of the file."""
    text = (resources.files("fsbench.published") / "papers.bib").read_text(encoding="utf-8")
    found = re.findall(r"^(@\w+\{(\w+),\n.*?\n  keywords = \{([^}]*)\},\n\})$", text, flags=re.M | re.S)
    return tuple(Paper(key, frozenset(names.split(", ")), entry) for entry, key, names in found)


def cited(methods: Iterable[str], sources: Iterable[str], version: str) -> tuple[str, list[str]]:
    """BibTeX of fsbench and of the papers of some methods and sources, and the names that no paper stands for.

    Args:
        methods: Their names, as suites have them.
        sources: Likewise, with or without a variant.
        version: Of fsbench.
    """
    wanted = {*methods, *(source.partition(":")[0] for source in sources)}
    papers = [paper for paper in load_papers() if paper.names & wanted]
    covered = frozenset[str]().union(*(paper.names for paper in papers))
    return "\n\n".join([_own(version), *(paper.entry for paper in papers)]) + "\n", sorted(wanted - covered)


def _own(version: str) -> str:
    return (
        "@software{fsbench,\n  author = {{The fsbench authors}},\n"
        "  title = {fsbench: a benchmark suite for few-shot image classification},\n"
        f"  version = {{{version}}},\n  year = {{2026}},\n}}"
    )
