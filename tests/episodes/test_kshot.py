from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from fsbench.episodes.kshot import MOST_SHOTS, SHOTS, KShotProtocol, draw_k_shot
from fsbench.episodes.pool import ClassPool
from fsbench.errors import EpisodeError

CANNOT_BE_CHANCE = 1e-4  # the draws below are fixed, so a test of them passes always or never


def pool(counts: list[int], objects: int | None = None) -> ClassPool:
    """Classes of so many images, of which some show each of so many objects."""
    sizes = np.array(counts, dtype=np.int64)
    tracks = None if objects is None else tuple(np.arange(count) * objects // count for count in counts)
    names = tuple(f"class {label}" for label in range(len(sizes)))
    return ClassPool(names, np.arange(len(sizes)) + 3, np.cumsum(sizes) - sizes, sizes, tracks=tracks)


EVEN = pool([20] * 12)
UNEVEN = pool([17 + 9 * label for label in range(12)])
TRACKS = pool([40 + 7 * label for label in range(6)], objects=6)


@pytest.mark.parametrize(
    ("source", "digest"),
    [
        (EVEN, "35ad565d265d0aceef7f6cb8c9af7108e6afec8010ee87260ee6a13ec4bcd45b"),
        (UNEVEN, "56540883f79bd96d58f8af887a3e1e410f0d417a51df4454ddd62438b5bf9e66"),
        (TRACKS, "9bdb280f8e49d4c24920f8b1766f863fe8f8c1c98c4f435217bbd32b8bd7f02f"),
    ],
    ids=["even", "uneven", "tracks"],
)
def test_the_draw_of_this_sampler_version_is_frozen(source: ClassPool, digest: str) -> None:
    assert draw_k_shot(source, KShotProtocol("test", 4, 3, seed=0)).digest == digest


@st.composite
def pools(draw: st.DrawFn) -> ClassPool:
    counts = draw(st.lists(st.integers(34, 90) | st.integers(34, 60), min_size=2, max_size=9))
    return pool(counts, draw(st.none() | st.integers(4, 30)))


@settings(deadline=None, max_examples=50)
@given(pools(), st.integers(1, MOST_SHOTS), st.integers(1, 3), st.integers(0, 9))
def test_episodes_keep_the_rules(source: ClassPool, shot: int, number: int, seed: int) -> None:
    try:
        drawn = draw_k_shot(source, KShotProtocol("test", shot, number, seed))
    except EpisodeError:
        assert source.tracks is not None  # a few tracks had all of them
        return
    (most,) = draw_k_shot(source, KShotProtocol("test", MOST_SHOTS, 1, seed)).blocks
    (other,) = draw_k_shot(source, KShotProtocol("test", 1, 1, seed + 1)).blocks
    asked = set(other.query_images[0].tolist())
    may_be_shown = set(range(int(source.counts.sum()))) - asked
    owner = np.repeat(source.labels, source.counts)
    assert len(drawn) == number
    for block in drawn.blocks:
        classes, support, query = block.classes[0], block.support_images[0], block.query_images[0]
        assert sorted(classes) == source.labels.tolist()
        assert np.bincount(block.support_labels[0]).tolist() == [shot] * len(classes)
        assert (np.diff(block.support_labels[0]) >= 0).all()
        assert (owner[support] == classes[block.support_labels[0]]).all()
        assert (owner[query] == classes[block.query_labels[0]]).all()
        assert len(set(support.tolist())) == len(support) and set(support.tolist()) <= may_be_shown
        assert len(query) == len(asked) and set(query.tolist()) == asked
    for label in range(len(source.labels)):
        first, count = source.first[label], source.counts[label]
        left = [image for image in range(first, first + count) if image in asked]
        assert 1 <= len(left) <= count - max(MOST_SHOTS, count // 2)
        if source.tracks is None:
            assert len(left) == count - max(MOST_SHOTS, count // 2)
        else:
            objects = source.tracks[label]
            shown = [image - first for image in range(first, first + count) if image in may_be_shown]
            assert not set(objects[shown]) & set(objects[np.array(left) - first])
    nested = most.support_images.reshape(-1, MOST_SHOTS)[:, :shot]
    assert (drawn.blocks[0].support_images.reshape(-1, shot) == nested).all()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([EVEN, UNEVEN, TRACKS]), st.integers(0, 4), st.integers(0, 3))
def test_any_run_of_episodes_drawn_alone_is_the_same(source: ClassPool, start: int, more: int) -> None:
    protocol = KShotProtocol("test", 2, 1, 0)
    whole = draw_k_shot(source, protocol, 0, start + more)
    assert draw_k_shot(source, protocol, start, start + more).digest == whole[start:].digest
    assert draw_k_shot(source, protocol, 0, start).digest == whole[:start].digest


def assert_uniform(values: list[int], kinds: int) -> None:
    observed = Counter(values)
    assert len(observed) == kinds
    assert chisquare(list(observed.values())).pvalue > CANNOT_BE_CHANCE


def test_supports_classes_and_turns_are_uniform() -> None:
    drawn = draw_k_shot(pool([40, 40, 40]), KShotProtocol("test", 1, 1500, seed=0)).blocks
    assert_uniform([block.classes[0, 0] for block in drawn], 3)
    assert_uniform([int(block.query_images[0, 0]) for block in drawn], 60)
    shown = [int(image) for block in drawn for image in block.support_images[0]]
    assert_uniform(shown, 60)
    last = draw_k_shot(pool([40, 40, 40]), KShotProtocol("test", MOST_SHOTS, 1500, seed=0)).blocks
    assert_uniform([int(block.support_images[0, -1]) for block in last], 60)


def test_every_image_is_as_likely_to_be_in_the_test_set() -> None:
    (block,) = draw_k_shot(pool([40] * 600), KShotProtocol("test", 1, 1, seed=0)).blocks
    assert_uniform((block.query_images[0] % 40).tolist(), 40)


def test_whole_tracks_are_as_likely_to_be_in_the_test_set() -> None:
    (block,) = draw_k_shot(pool([40] * 600, objects=8), KShotProtocol("test", 1, 1, seed=0)).blocks
    assert_uniform((block.query_images[0] % 40 // 5).tolist(), 8)


@pytest.mark.parametrize(
    ("other", "protocol", "same_test_set"),
    [
        (UNEVEN, KShotProtocol("val", 2, 3, 0), False),
        (UNEVEN, KShotProtocol("test", 2, 3, 1), True),
        (replace(UNEVEN, names=tuple("abcdefghijkl")), KShotProtocol("test", 2, 3, 0), False),
        (
            replace(UNEVEN, tracks=tuple(np.arange(count) for count in UNEVEN.counts)),
            KShotProtocol("test", 2, 3, 0),
            False,
        ),
    ],
    ids=["split", "seed", "names", "tracks"],
)
def test_the_address_decides_the_draw(other: ClassPool, protocol: KShotProtocol, same_test_set: bool) -> None:
    plain, found = draw_k_shot(UNEVEN, KShotProtocol("test", 2, 3, 0)), draw_k_shot(other, protocol)
    assert plain.digest != found.digest
    asked = [set(episodes.blocks[0].query_images[0].tolist()) for episodes in (plain, found)]
    assert (asked[0] == asked[1]) == same_test_set


@pytest.mark.parametrize(
    ("source", "shot", "sentence"),
    [
        (EVEN, 17, "^the protocol k-shot shows at most 16 images a class, not 17; lower the shot"),
        (pool([20]), 1, "^the protocol k-shot needs 2 classes, but the val split has 1; "),
        (pool([40, 40], objects=1), 1, "but class 0, with 40 images in 1 tracks, has none left; "),
    ],
)
def test_what_cannot_be_drawn_is_explained(source: ClassPool, shot: int, sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        draw_k_shot(source, KShotProtocol("val", shot, 2, 0))


def test_the_protocol_reads_well() -> None:
    assert SHOTS == (1, 2, 4, 8, 16)
    assert str(KShotProtocol("test", 4, 10, 0)) == "all-way 4-shot, the whole test set"
