"""Pages of reports to test, and a reader that knows every element of one."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser

from fsbench.records import Record
from helpers.factories import make_record

__all__ = ["SOURCES", "Element", "Page", "one_source", "several_sources"]

SOURCES = ("omniglot", "aircraft", "cu_birds", "dtd", "fungi")
_VOID = {"meta", "img"}


class Element:
    """A part of the page: its tag, attributes, the tags around it, and all text within it."""

    def __init__(self, tag: str, attributes: Mapping[str, str | None], around: list[Element]) -> None:
        self.tag, self.around = tag, around
        self.attributes = {name: value or "" for name, value in attributes.items()}
        self.words = ""

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


class Page(HTMLParser):
    """Every element of a page in its order; fails where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), list(self._open)))
        if tag not in _VOID:
            self._open.append(self.elements[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), list(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.words += data

    def all(self, tag: str, kind: str = "") -> list[Element]:
        """The elements of a tag that have a class."""
        return [e for e in self.elements if e.tag == tag and kind in f" {e.attributes.get('class', '')} "]

    def within(self, ident: str, tag: str) -> list[Element]:
        """The elements of a tag within the element of an id."""
        return [e for e in self.all(tag) if any(outer.attributes.get("id") == ident for outer in e.around)]


def one_source() -> list[Record]:
    """Four rows at two shots, one transductive and one with two training seeds."""
    rows = [("k-NN", False, 40, 0), ("ProtoNet", False, 60, 0), ("ProtoNet", False, 58, 1), ("fo-MAML", True, 66, 0)]
    return [
        make_record(label, [right + shot + i for i in (0, 3, 1, 4)], shot=shot, transductive=how, train_seed=seed)
        for label, how, right, seed in rows
        for shot in (1, 5)
    ]


def several_sources() -> list[Record]:
    """Three methods on five sources, a gap, a source left out and one with missing images."""
    return [
        make_record(
            label,
            [low + 3 * place + i for i in (0, 4, 2, 5)],
            source=source,
            partial="partial (20 per class)" if source == "dtd" else None,
            absent={"traffic_sign": "its files are not there."},
        )
        for label, low in (("k-NN", 20), ("ProtoNet", 40), ("fo-MAML", 32), ("RelationNet", 30))
        for place, source in enumerate(SOURCES)
        if (label, source) != ("RelationNet", "fungi")
    ]
