"""What weights may have seen of the test classes of a source, and the track that this puts a cell in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from fsbench.data.card import Card, list_cards, load_card
from fsbench.data.pack import Pack
from fsbench.data.sources.listed import read_lists
from fsbench.records import Pretraining, Track
from fsbench.run.cells import Cell
from fsbench.run.frozen import Untrained

__all__ = ["Overlap", "overlap_of", "overlap_of_training", "seen_by", "validates_on_tested"]

_TURNED: Final = re.compile(r"/rot\d{3}$")
_SAID: Final = {
    "none": "no test class is a label in {corpus}",
    "classes": "some test classes are labels in {corpus}",
    "images": "{corpus} is known to hold some of the images",
    "possible": "{corpus} is likely to hold some of the images or classes",
    "unknown": "it is not known what {corpus} holds of it",
}


class Overlap(NamedTuple):
    """What a corpus, or several, share with the test classes of a source.

    Attributes:
        track: "B" without known overlap, else "C".
        words: Why.
    """

    track: Track
    words: str


def seen_by(cell: Cell, packs: Mapping[str, Pack]) -> tuple[Track, Pretraining | None]:
    """What the weights of a cell may have seen of its test classes: the track, and of a backbone from elsewhere why."""
    training, pack, split = cell.training, packs[cell.identity.source], cell.identity.split
    if not isinstance(training, Untrained):
        found = overlap_of_training(pack, split, [packs[source] for source in training.sources])
        return ("A" if found is None else found.track), None
    backbone = training.backbone
    overlap = overlap_of(pack, split, backbone.corpora)
    return overlap.track, Pretraining(
        corpora=list(backbone.corpora),
        overlap=overlap.words,
        library=backbone.library,
        fingerprint=list(backbone.fingerprint),
    )


def overlap_of(pack: Pack, split: str, corpora: Sequence[str]) -> Overlap:
    """What corpora share with the classes of a split of a source.

    Classes that are WordNet ids are looked up among those of ImageNet-1k, which ImageNet-12k and 21k contain. Of others
    their source's card says what is known; of a source without a card, and of a corpus that the card does not name,
    nothing is.

    Args:
        pack: Of the source.
        split: Its split.
        corpora: What the weights were pretrained on; none: unknown.
    """
    if not corpora:
        return Overlap("C", "it is not known on what the backbone was pretrained")
    found = [_with_one(pack, split, corpus) for corpus in corpora]
    clear = all(none for none, _ in found)
    return Overlap("B" if clear else "C", "; ".join(words for none, words in found if none == clear))


def overlap_of_training(pack: Pack, split: str, trained_on: Sequence[Pack]) -> Overlap | None:
    """What classes of a split were trained on here, in another source; None: none, as far as `_shared` tells."""
    for other in trained_on:
        if both := _shared(pack, split, other, "train"):
            number = len(pack.splits[split])
            return Overlap("C", f"{len(both)} of {number} test classes are training classes of {other.source}")
    return None


def validates_on_tested(pack: Pack, tested: Sequence[Pack]) -> str | None:
    """Which other source has validation classes of this one among its test classes, as far as `_shared` tells."""
    for other in tested:
        if both := _shared(pack, "val", other, "test"):
            return f"{len(both)} of its validation classes are test classes of {other.source}"
    return None


def _shared(pack: Pack, split: str, other: Pack, its: str) -> set[str]:
    """The classes of a split that a split of another source, or of another variant of the source, has too.

    They have the same WordNet id, or the same name where both are made of the same files, as CIFAR-FS and FC100 are.
    A drawing that is turned is the same, as in the variants of Omniglot.
    """
    others = {_TURNED.sub("", other.classes[label]) for label in other.splits[its]}
    both = {name for label in pack.splits[split] if _TURNED.sub("", name := pack.classes[label]) in others}
    ids = {name for name in both if re.fullmatch(r"n\d{8}", name)}
    return ids or (both if both and _same_files(pack, other) else set())


def _same_files(pack: Pack, other: Pack) -> bool:
    if pack.source == other.source:
        return True
    first, second = _card(pack), _card(other)
    return first is not None and second is not None and first.files == second.files != ()


def _card(pack: Pack) -> Card | None:
    return next((card for card in list_cards() if card.name == pack.source), None)


@cache
def _imagenet_labels() -> frozenset[str]:
    """The WordNet ids of the classes of ImageNet-1k."""
    lists = read_lists(load_card("ilsvrc_2012").folder / "splits.toml")
    return frozenset(name for names in lists.values() for name in names)


def _with_one(pack: Pack, split: str, corpus: str) -> tuple[bool, str]:
    """Whether a corpus is known to share nothing with a split, and what is known."""
    classes = {pack.classes[label] for label in pack.splits[split]}
    if corpus.startswith("imagenet-") and (labels := classes & _imagenet_labels()):
        return False, f"{len(labels)} of {len(classes)} test classes are labels in {corpus}"
    card = _card(pack)
    kind = "unknown" if card is None else card.overlap.get(corpus, "unknown")
    return kind == "none", _SAID[kind].format(corpus=corpus)
