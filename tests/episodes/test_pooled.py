from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import ClassPool
from fsbench.episodes.pooled import PooledEpisodes, draw_pooled
from fsbench.errors import EpisodeError

CANNOT_BE_CHANCE = 1e-4  # the draws below are fixed, so a test of them passes always or never
FIELDS = ("images", "support", "query", "support_labels", "query_labels")


def pool(*counts: int) -> ClassPool:
    sizes = np.array(counts, dtype=np.int64)
    names = tuple(f"class {label}" for label in range(len(sizes)))
    return ClassPool(names, np.arange(len(sizes)), np.cumsum(sizes) - sizes, sizes)


@pytest.mark.parametrize(
    ("protocol", "classes", "tasks", "digest"),
    [
        (
            FixedProtocol("train", 20, 1, 6, 0, seed=0),
            20,
            6,
            "b40c4748c0716c438b568698f1a19d0b758a75919dd31f59bf50f5f4889552fd",
        ),
        (
            FixedProtocol("train", 5, 5, 5, 0, seed=3),
            10,
            6,
            "66e4a86bf59b639d4146d95e4c02133ddcccdeb253d9250fdb3c8e1939fa4bd4",
        ),
    ],
)
def test_the_splits_of_this_sampler_version_are_frozen(
    protocol: FixedProtocol, classes: int, tasks: int, digest: str
) -> None:
    assert draw_pooled(pool(*[600] * 64), protocol, classes=classes, tasks=tasks, start=0, stop=8).digest == digest


@st.composite
def draws(draw: st.DrawFn) -> tuple[ClassPool, FixedProtocol, int, int]:
    way, shot, queries, groups, splits = (draw(st.integers(1, most)) for most in (4, 3, 4, 3, 4))
    classes = way * groups
    counts = draw(st.lists(st.integers(shot + queries, 40), min_size=classes, max_size=classes + 3))
    return pool(*counts), FixedProtocol("train", way, shot, queries, 0, draw(st.integers(0, 2**63))), classes, splits


def drawn(case: tuple[ClassPool, FixedProtocol, int, int], start: int, stop: int) -> PooledEpisodes:
    source, protocol, classes, splits = case
    tasks = splits * classes // protocol.way
    return draw_pooled(source, protocol, classes=classes, tasks=tasks, start=start, stop=stop)


@settings(deadline=None)
@given(draws())
def test_every_split_uses_every_image_of_the_pool_once_and_keeps_the_rules_of_episodes(
    case: tuple[ClassPool, FixedProtocol, int, int],
) -> None:
    source, protocol, classes, splits = case
    found = drawn(case, 0, 3)
    owner = np.repeat(source.labels, source.counts)
    groups = classes // protocol.way
    for step, images in enumerate(found.images):
        assert len(set(images)) == len(images) == classes * (protocol.shot + protocol.queries)
        used = np.concatenate([found.support[step], found.query[step]], axis=1)
        labels = np.concatenate([found.support_labels[step], found.query_labels[step]], axis=1)
        for split in range(splits):
            rows = slice(split * groups, (split + 1) * groups)
            assert sorted(used[rows].ravel()) == list(range(len(images)))
        for positions, own in zip(used, labels, strict=True):
            assert len(set(zip(owner[images[positions]], own, strict=True))) == len(set(own)) == protocol.way
        for own, times in ((found.support_labels, protocol.shot), (found.query_labels, protocol.queries)):
            assert all((np.bincount(row, minlength=protocol.way) == times).all() for row in own[step])


@settings(deadline=None)
@given(draws())
def test_the_pool_is_an_addressed_episode_and_the_first_split_its_own(
    case: tuple[ClassPool, FixedProtocol, int, int],
) -> None:
    source, protocol, classes, _ = case
    found, plain = drawn(case, 0, 3), draw_episodes(source, replace(protocol, way=classes), 0, 3)
    groups = classes // protocol.way
    for step, images in enumerate(found.images):
        assert (images[found.support[step, :groups]].ravel() == plain.support_images[step]).all()
        for group in range(groups):
            own = plain.query_labels[step] // protocol.way == group
            assert (images[found.query[step, group]] == plain.query_images[step][own]).all()
            assert (found.query_labels[step, group] == plain.query_labels[step][own] % protocol.way).all()


@settings(deadline=None)
@given(draws(), st.integers(0, 30), st.integers(1, 5))
def test_a_split_depends_on_its_step_and_number_alone(
    case: tuple[ClassPool, FixedProtocol, int, int], start: int, more: int
) -> None:
    source, protocol, classes, splits = case
    whole = drawn(case, 0, start + more)
    alone = drawn((source, protocol, classes, splits + 1), start, start + more)
    tasks = whole.support.shape[1]
    for name in FIELDS:
        ours, theirs = getattr(whole, name)[start:], getattr(alone, name)
        assert (ours == (theirs if name == "images" else theirs[:, :tasks])).all(), name


def test_all_images_of_a_class_are_support_equally_often_and_classes_meet_in_every_task() -> None:
    found = draw_pooled(
        pool(*[9] * 7), FixedProtocol("train", 3, 1, 3, 0, seed=0), classes=6, tasks=4, start=0, stop=3000
    )
    again = found.support[:, 2:]  # of the second split
    assert chisquare(np.bincount(again.ravel(), minlength=24)).pvalue > CANNOT_BE_CHANCE
    assert chisquare(np.bincount(again[:, 0, 0], minlength=24)).pvalue > CANNOT_BE_CHANCE


def test_tracks_kept_apart_and_pooled_episodes_do_not_go_together() -> None:
    tracked = replace(pool(8, 8), tracks=(np.arange(8), np.arange(8)))
    with pytest.raises(EpisodeError, match="leave `pool` out"):
        draw_pooled(tracked, FixedProtocol("train", 2, 1, 3, 0, 0), classes=2, tasks=2, start=0, stop=1)
