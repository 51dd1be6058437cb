"""What weights from elsewhere have seen of test classes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from fsbench.data.card import list_cards, load_card
from fsbench.data.pack import SPLITS, Pack
from fsbench.data.sources.omniglot import read_split
from fsbench.run.leakage import overlap_of, overlap_of_training, validates_on_tested
from helpers.small import write_small_pack

KNOWN = ("n01930112", "n01981276")  # test classes of miniImageNet


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_small_pack(tmp_path_factory.mktemp("pack"), classes=(3, 1, 2), images=3, source="omniglot")


def named(pack: Pack, source: str, *names: str) -> Pack:
    """A pack whose classes are called so, the last ones first."""
    return replace(pack, source=source, classes=(*pack.classes[: len(pack.classes) - len(names)], *names))


def test_a_source_without_overlap_is_of_track_b(pack: Pack) -> None:
    found = overlap_of(pack, "test", ["imagenet-1k"])
    assert found == ("B", "no test class is a label in imagenet-1k")


@pytest.mark.parametrize("corpora", [[], ["webli"], ["imagenet-1k", "webli"]], ids=str)
def test_what_is_not_known_is_of_track_c(pack: Pack, corpora: list[str]) -> None:
    found = overlap_of(pack, "test", corpora)
    assert found.track == "C"
    assert "not known" in found.words
    assert "no test class" not in found.words


def test_a_source_without_a_card_is_of_track_c(pack: Pack) -> None:
    assert overlap_of(replace(pack, source="mine"), "test", ["imagenet-1k"]).track == "C"


@pytest.mark.parametrize("corpus", ["imagenet-1k", "imagenet-21k"])
def test_wordnet_ids_are_looked_up(pack: Pack, corpus: str) -> None:
    found = overlap_of(named(pack, "miniimagenet", *KNOWN), "test", [corpus])
    assert found == ("C", f"2 of 2 test classes are labels in {corpus}")
    assert overlap_of(named(pack, "omniglot", KNOWN[0], "other"), "test", [corpus]).words.startswith("1 of 2")


def test_every_card_says_it_of_imagenet_or_has_its_classes() -> None:
    computed = {"ilsvrc_2012", "miniimagenet", "tieredimagenet"}
    for card in list_cards():
        assert ("imagenet-1k" in card.overlap) != (card.name in computed)


def test_validation_classes_that_another_source_tests_on_are_seen(pack: Pack) -> None:
    tested = named(pack, "miniimagenet", *KNOWN)
    chosen_on = replace(pack, source="ilsvrc_2012", classes=(*pack.classes[:3], KNOWN[1], *pack.classes[4:]))
    assert validates_on_tested(chosen_on, [tested, chosen_on]) == (
        "1 of its validation classes are test classes of miniimagenet"
    )
    assert validates_on_tested(tested, [tested, chosen_on]) is None


def test_classes_that_another_source_trains_on_are_seen(pack: Pack) -> None:
    tested = named(pack, "miniimagenet", *KNOWN)
    trained = replace(pack, source="ilsvrc_2012", classes=(KNOWN[1], *pack.classes[1:]))
    found = overlap_of_training(tested, "test", [tested, trained])
    assert found == ("C", "1 of 2 test classes are training classes of ilsvrc_2012")
    assert overlap_of_training(tested, "test", [tested, replace(pack, source="other")]) is None
    assert overlap_of_training(pack, "test", [replace(pack, source="other")]) is None


def test_sources_of_the_same_files_share_classes_by_name(pack: Pack) -> None:
    tested = named(pack, "fc100", "bee", "boy")
    trained = replace(pack, source="cifar_fs", classes=("boy", *pack.classes[1:]))
    assert overlap_of_training(tested, "test", [trained]) == (
        "C",
        "1 of 2 test classes are training classes of cifar_fs",
    )
    assert validates_on_tested(trained, [tested]) is None
    assert overlap_of_training(tested, "test", [replace(trained, source="aircraft")]) is None


def variant(pack: Pack, name: str, *turns: str) -> tuple[Pack, dict[str, set[str]]]:
    """A variant of Omniglot, whose images nobody asks for, and its characters by split."""
    characters = {
        split: {f"{alphabet}/character{number:02}" for alphabet, numbers in alphabets.items() for number in numbers}
        for split, alphabets in read_split(load_card("omniglot").folder / f"{name}.toml").items()
    }
    named = [(split, character + turn) for split in SPLITS for character in characters[split] for turn in turns or [""]]
    members = {split: tuple(label for label, (of, _) in enumerate(named) if of == split) for split in SPLITS}
    return replace(pack, source="omniglot", classes=tuple(name for _, name in named), splits=members), characters


def test_characters_that_another_variant_of_omniglot_trains_on_are_seen_turned_or_not(pack: Pack) -> None:
    variants = [variant(pack, "original"), variant(pack, "vinyals", "/rot000", "/rot090", "/rot180", "/rot270")]
    tracks = []
    for (tested, asked), (trained, learned) in itertools.product(variants, repeat=2):
        found = overlap_of_training(tested, "test", [trained])
        assert (found is not None) == bool(asked["test"] & learned["train"])
        tracks.append(found and found.track)
    assert tracks == [None, "C", None, None]


def test_a_source_without_a_card_that_is_tested_on_what_it_trains_on_is_seen(pack: Pack) -> None:
    own = replace(pack, source="mine")
    assert overlap_of_training(own, "train", [own]) == ("C", "3 of 3 test classes are training classes of mine")
