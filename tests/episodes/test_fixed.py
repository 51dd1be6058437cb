from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from fsbench.data.listing import Hierarchy
from fsbench.data.pack import Pack
from fsbench.data.prepared import Prepared, write_pack
from fsbench.episodes.files import parts_tracks
from fsbench.episodes.fixed import Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.pool import ClassPool, pool_of
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.sources import draw_mixed_batches, draw_sources
from fsbench.episodes.streams import Stream, choose, choose_unequal
from fsbench.errors import EpisodeError
from helpers.small import write_small_pack
from helpers.tiny import write_source

CANNOT_BE_CHANCE = 1e-4  # the draws below are fixed, so a test of them passes always or never


def pool(*counts: int, prefix: str = "class") -> ClassPool:
    sizes = np.array(counts, dtype=np.int64)
    names = tuple(f"{prefix} {label}" for label in range(len(sizes)))
    return ClassPool(names, np.arange(len(sizes)), np.cumsum(sizes) - sizes, sizes)


def tracked(tracks: list[list[int]]) -> ClassPool:
    """A pool whose classes have the images of these tracks, each track given by its size."""
    numbers = tuple(np.repeat(np.arange(len(sizes)), sizes) for sizes in tracks)
    return replace(pool(*map(sum, tracks)), tracks=numbers)


def same(one: Episodes, other: Episodes) -> bool:
    return one.digest == other.digest


@pytest.mark.parametrize(
    ("counts", "protocol", "digest"),
    [
        (
            (20,) * 10,
            FixedProtocol("test", 5, 1, 15, 20, seed=0),
            "36a55ef87a76687a425bd00698c08b804cc045bb4744dead4f69d1f8f9dae518",
        ),
        (
            (20,) * 10,
            FixedProtocol("test", 5, 5, 15, 20, seed=0),
            "943a8d2a49447001911e791cb159f451fee24597434adc219573d6e64e0ca162",
        ),
        (
            (20,) * 10,
            FixedProtocol("val", 5, 1, 15, 20, seed=1),
            "2e01a7fecf6813845f1339f9d565b9b8e5caaba570e42760f95f45b9692f7dcc",
        ),
        (
            (7, 30, 12, 9, 100, 8),
            FixedProtocol("train", 3, 2, 4, 50, seed=7),
            "3123365287796dc62c911eb51bfe5cb8f5b7a7a348d4a37d61a9671e569e332f",
        ),
        (
            (600,) * 64,
            FixedProtocol("train", 20, 5, 5, 8, seed=2**40),
            "801dd2ec42cc8e3dd3494ecb630ecfc14085186e481a2b0d2c42f6104b54bbe8",
        ),
    ],
)
def test_the_draw_of_this_sampler_version_is_frozen(
    counts: tuple[int, ...], protocol: FixedProtocol, digest: str
) -> None:
    assert draw_episodes(pool(*counts), protocol).digest == digest


@pytest.mark.parametrize(
    ("tracks", "protocol", "digest"),
    [
        (
            [[3] * 8] * 7,
            FixedProtocol("test", 5, 1, 15, 20, seed=0),
            "5ddcef8ccdfc758dad4b43e811ac818b8db586efab6036c5ecfd0d783592f05d",
        ),
        (
            [[30] * 7, [1] * 40, [12, 5, 20, 9]],
            FixedProtocol("test", 2, 2, 6, 30, seed=3),
            "dc9beac0db222eaaa2c372847352b12347d7759fa2cdb77f2b9cd1e1aa1a8956",
        ),
    ],
)
def test_the_draw_with_tracks_apart_is_frozen(tracks: list[list[int]], protocol: FixedProtocol, digest: str) -> None:
    assert draw_episodes(tracked(tracks), protocol).digest == digest


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        (1000, "927eb04718ea0a4e4374287859b8bd34162ada28f84c9a846670442ca188feab"),
        (3 * 2**61, "62c12e0cdb0b3227656c51934ddffa33d30391850c3dc738d7f4863fff491443"),  # a quarter is rejected
    ],
)
def test_the_draw_of_batches_is_frozen(size: int, digest: str) -> None:
    batches = draw_mixed_batches([size], 6, seed=3, start=0, stop=40)[1]
    assert hashlib.sha256(batches.astype("<i8").tobytes()).hexdigest() == digest


def test_the_draws_of_sources_are_frozen() -> None:
    sources, positions = draw_mixed_batches([10, 2000, 3 * 2**61], 6, seed=3, start=0, stop=40)
    drawn = np.concatenate([draw_sources(9, seed=3, start=0, stop=100), sources.ravel(), positions.ravel()])
    assert (
        hashlib.sha256(drawn.astype("<i8").tobytes()).hexdigest()
        == "40fbb6c5e5d2dd3e063cc76bd8e8c5965094d57e08c021374aa51e24dadd5912"
    )


@st.composite
def draws(draw: st.DrawFn) -> tuple[ClassPool, FixedProtocol]:
    way, shot, queries = (draw(st.integers(1, most)) for most in (6, 5, 6))
    counts = draw(st.lists(st.integers(shot + queries, 40), min_size=way, max_size=way + 6))
    number, seed = draw(st.integers(1, 12)), draw(st.integers(-(2**63), 2**63))
    return pool(*counts), FixedProtocol("test", way, shot, queries, number, seed)


@settings(deadline=None)
@given(draws())
def test_episodes_keep_the_rules(drawn: tuple[ClassPool, FixedProtocol]) -> None:
    source, protocol = drawn
    found = draw_episodes(source, protocol)
    way, shot, queries, number = protocol.way, protocol.shot, protocol.queries, protocol.episodes
    assert (len(found), found.way, found.shot, found.queries) == (number, way, shot, queries)
    assert found.query_images.shape == found.query_labels.shape == (number, way * queries)
    assert found.support_images.shape == found.support_labels.shape == (number, way * shot)
    owner = np.repeat(source.labels, source.counts)
    for episode in range(number):
        images = np.concatenate([found.support_images[episode], found.query_images[episode]])
        labels = np.concatenate([found.support_labels[episode], found.query_labels[episode]])
        assert len(set(images)) == len(images) == way * (shot + queries)
        assert len(set(found.classes[episode])) == way
        assert images.min() >= 0
        assert images.max() < len(owner)
        assert (owner[images] == found.classes[episode][labels]).all()
        assert sorted(found.order[episode]) == list(range(way * queries))


@settings(deadline=None)
@given(draws(), st.integers(0, 30), st.integers(0, 9))
def test_any_run_of_episodes_drawn_alone_is_the_same(
    drawn: tuple[ClassPool, FixedProtocol], start: int, more: int
) -> None:
    source, protocol = drawn
    whole = draw_episodes(source, protocol, 0, start + more)
    assert same(draw_episodes(source, protocol, start, start + more), whole[start:])
    assert same(draw_episodes(source, protocol, 0, start), whole[:start])


@st.composite
def tracked_draws(draw: st.DrawFn) -> tuple[ClassPool, FixedProtocol]:
    way, shot, queries = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    sizes = st.lists(st.integers(1, 5), min_size=shot + queries, max_size=12)
    tracks = draw(st.lists(sizes, min_size=way, max_size=way + 3))
    return tracked(tracks), FixedProtocol("test", way, shot, queries, draw(st.integers(1, 8)), draw(st.integers(0, 99)))


@settings(deadline=None)
@given(tracked_draws(), st.integers(0, 8))
def test_support_and_query_share_no_track(drawn: tuple[ClassPool, FixedProtocol], start: int) -> None:
    source, protocol = drawn
    found = draw_episodes(source, protocol)
    assert source.tracks is not None
    for episode in range(len(found)):
        images = [*found.support_images[episode], *found.query_images[episode]]
        assert len(set(images)) == len(images)
        for label, support, query in zip(
            found.classes[episode], found.support[episode], found.query[episode], strict=True
        ):
            tracks = source.tracks[label]
            shown, asked = (set(tracks[images - source.first[label]]) for images in (support, query))
            assert not shown & asked
    assert same(
        draw_episodes(source, protocol, start, start + 3), draw_episodes(source, protocol, 0, start + 3)[start:]
    )


def test_other_random_state_does_not_enter() -> None:
    protocol = FixedProtocol("test", 3, 1, 2, 5, seed=0)
    before = draw_episodes(pool(*[9] * 5), protocol)
    random.seed(1)
    np.random.seed(1)
    state = np.random.get_state()[1].tolist()
    assert same(draw_episodes(pool(*[9] * 5), protocol), before)
    assert np.random.get_state()[1].tolist() == state


@pytest.mark.parametrize(
    ("other", "protocol"),
    [
        (pool(*[20] * 10), FixedProtocol("val", 5, 1, 5, 9, 0)),
        (pool(*[20] * 10), FixedProtocol("test", 5, 1, 5, 9, 1)),
        (pool(*[20] * 10, prefix="kind"), FixedProtocol("test", 5, 1, 5, 9, 0)),
        (pool(*[20] * 9, 21), FixedProtocol("test", 5, 1, 5, 9, 0)),
    ],
    ids=["split", "seed", "names", "counts"],
)
def test_the_address_decides_the_classes(other: ClassPool, protocol: FixedProtocol) -> None:
    plain = draw_episodes(pool(*[20] * 10), FixedProtocol("test", 5, 1, 5, 9, 0))
    assert (draw_episodes(other, protocol).classes != plain.classes).any()


def test_tracks_are_part_of_the_address() -> None:
    protocol = FixedProtocol("test", 2, 1, 2, 9, 0)
    one, other = (draw_episodes(tracked([sizes] * 5), protocol) for sizes in ([2, 3, 4], [3, 2, 4]))
    assert not same(one, other)


def test_shots_and_queries_have_draws_of_their_own() -> None:
    def classes(shot: int, queries: int) -> list[list[int]]:
        return draw_episodes(pool(*[20] * 10), FixedProtocol("test", 5, shot, queries, 9, 0)).classes.tolist()

    assert classes(1, 5) != classes(2, 5)
    assert classes(1, 5) != classes(1, 6)


def assert_uniform(observed: Counter[object], kinds: int) -> None:
    assert len(observed) == kinds
    assert chisquare(list(observed.values())).pvalue > CANNOT_BE_CHANCE


def test_classes_images_and_orders_are_uniform() -> None:
    found = draw_episodes(pool(*[7] * 5), FixedProtocol("test", 2, 1, 2, 24_000, seed=5))
    assert_uniform(Counter(map(tuple, found.classes.tolist())), 5 * 4)
    assert_uniform(Counter(map(tuple, found.order.tolist())), 24)
    items = np.concatenate([found.support, found.query], axis=2) - 7 * found.classes[..., None]
    assert_uniform(Counter(map(tuple, items[:, 0].tolist())), 7 * 6 * 5)
    assert_uniform(Counter(map(tuple, items[:, 1].tolist())), 7 * 6 * 5)


def test_images_are_uniform_in_classes_of_unequal_size() -> None:
    counts = (3, 5, 17)
    found = draw_episodes(pool(*counts), FixedProtocol("test", 3, 1, 1, 6000, seed=2))
    for label, count in enumerate(counts):
        for images in (found.support, found.query):
            assert_uniform(Counter(images[found.classes == label].ravel().tolist()), count)


def test_support_stays_uniform_with_tracks_apart() -> None:
    found = draw_episodes(tracked([[1, 2, 4, 5]]), FixedProtocol("test", 1, 2, 1, 20_000, seed=1))
    assert_uniform(Counter(map(tuple, found.support[:, 0].tolist())), 12 * 11)
    both_small = (found.support[:, 0] < 3).all(axis=1) & (found.support[:, 0] == 0).any(axis=1)
    given_support = found.query[both_small]  # which takes the tracks of 1 and 2 images
    assert_uniform(Counter(given_support.ravel().tolist()), 9)


@pytest.mark.parametrize("size", [10, 3 * 2**61, 2**63 - 1])
def test_integers_below_any_bound_are_uniform(size: int) -> None:
    batches = draw_mixed_batches([size], 10, seed=1, start=0, stop=1000)[1]
    assert batches.min() >= 0
    assert batches.max() < size
    tenths = Counter(int(value) * 10 // size for value in batches.ravel())
    assert_uniform(tenths, 10)  # without rejection, the lower two thirds below 3 * 2^61 would take three quarters


@pytest.mark.parametrize("size", [10, 3 * 2**61])
def test_batches_have_addresses(size: int) -> None:
    whole = draw_mixed_batches([size], 7, seed=1, start=0, stop=60)[1]
    assert (draw_mixed_batches([size], 7, seed=1, start=13, stop=29)[1] == whole[13:29]).all()
    assert (draw_mixed_batches([size], 7, seed=2, start=0, stop=60)[1] != whole).any()


def test_sources_are_uniform_and_have_addresses() -> None:
    whole = draw_sources(7, seed=1, start=0, stop=7000)
    assert_uniform(Counter(whole.tolist()), 7)
    assert (draw_sources(7, seed=1, start=500, stop=900) == whole[500:900]).all()
    assert (draw_sources(7, seed=2, start=0, stop=7000) != whole).any()
    assert draw_sources(1, seed=1, start=0, stop=5).tolist() == [0] * 5


def test_mixed_batches_draw_the_source_and_then_the_image() -> None:
    sizes = [3, 1, 20]
    sources, positions = draw_mixed_batches(sizes, 10, seed=1, start=0, stop=900)
    assert_uniform(Counter(sources.ravel().tolist()), 3)
    for source, size in enumerate(sizes):
        within = positions[sources == source]
        assert (within.min(), within.max()) == (0, size - 1)
        if size > 1:
            assert_uniform(Counter(within.tolist()), size)
    later = draw_mixed_batches(sizes, 10, seed=1, start=30, stop=50)
    assert (later[0] == sources[30:50]).all()
    assert (later[1] == positions[30:50]).all()
    assert (draw_mixed_batches(sizes, 10, seed=2, start=0, stop=900)[1] != positions).any()


@settings(deadline=None)
@given(st.lists(st.integers(6, 40), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
def test_unequal_choices_are_the_same_choices(sizes: list[int], count: int, number: int) -> None:
    stream = Stream(b"sixteen bytes..!", words=40, episodes=range(number, number + 1))
    equal = choose(stream, 3, np.array([sizes]), count)[0]
    unequal = choose_unequal(stream, 3, np.array(sizes), np.full(len(sizes), count))
    assert equal.tolist() == [group.tolist() for group in unequal]


def test_too_few_classes_are_named() -> None:
    with pytest.raises(EpisodeError, match=r"^a 5-way episode needs 5 classes, but the val split has 4; "):
        draw_episodes(pool(9, 9, 9, 9), FixedProtocol("val", 5, 1, 1, 2, 0))
    with pytest.raises(EpisodeError, match="but the val split has 4 large enough; "):
        draw_episodes(replace(pool(9, 9, 9, 9), left_out=2), FixedProtocol("val", 5, 1, 1, 2, 0))


def test_too_few_images_name_the_class() -> None:
    with pytest.raises(EpisodeError, match=r"^3 shots and 4 queries need 7 images a class, but class 1 has 6; "):
        draw_episodes(pool(9, 6, 9), FixedProtocol("test", 2, 3, 4, 2, 0))


def test_too_few_tracks_name_the_class() -> None:
    enough = tracked([[5, 5, 5], [2, 4, 6, 3]])
    assert len(draw_episodes(enough, FixedProtocol("test", 2, 2, 5, 40, 0))) == 40
    expected = (
        r"^6 queries must share no track with 2 shots, but class 0, with 15 images in 3 tracks, may have only 5 images"
        r" left; lower the shot or the queries, or let support and query share tracks\.$"
    )
    with pytest.raises(EpisodeError, match=expected):
        draw_episodes(enough, FixedProtocol("test", 2, 2, 6, 40, 0))
    uneven = tracked([[2, 4, 6, 3]])  # whose two largest may be shown
    assert len(draw_episodes(uneven, FixedProtocol("test", 1, 2, 5, 40, 0))) == 40
    with pytest.raises(EpisodeError, match=r"class 0, with 15 images in 4 tracks, may have only 5 images left"):
        draw_episodes(uneven, FixedProtocol("test", 1, 2, 6, 40, 0))


def test_a_pool_has_the_classes_of_its_split(tmp_path: Path) -> None:
    pack = write_source(tmp_path)
    found = pool_of(pack, "test", at_least=12)
    assert found.labels.tolist() == list(pack.splits["test"])
    assert list(found.names) == [pack.classes[label] for label in found.labels]
    drawn = draw_episodes(found, FixedProtocol("test", 5, 2, 3, 30, 0))
    assert (pack.labels[drawn.query] == drawn.classes[..., None]).all()
    assert np.isin(drawn.classes, pack.splits["test"]).all()


SIZES = (9, 5, 1, 8, 2, 7, 6)


@pytest.fixture
def birds(tmp_path: Path) -> Pack:
    """Seven classes of `SIZES` images, all but the first in the test split; two images to a track."""
    number = sum(SIZES)
    names = [f"bird {label}" for label in range(len(SIZES))]
    return write_pack(
        tmp_path,
        "birds",
        Prepared(
            images=np.zeros((number, 1, 2, 2), dtype=np.uint8),
            labels=np.repeat(np.arange(len(SIZES)), SIZES),
            names=[str(image) for image in range(number)],
            classes=names,
            splits={"train": [0], "test": range(1, len(SIZES))},
            processing={},
            tracks=[image // 2 for size in SIZES for image in range(size)],
            hierarchy=Hierarchy("superclasses", {"test": [names[1:4], names[4:]]}),
        ),
    )


def test_small_classes_are_an_error_or_left_out(birds: Pack) -> None:
    with pytest.raises(EpisodeError, match=r"fewer: bird 1 \(5\), bird 2 \(1\), bird 4 \(2\); lower .* or leave"):
        pool_of(birds, "test", at_least=6)
    assert pool_of(birds, "test").left_out == 0
    found = pool_of(birds, "test", at_least=6, leave_out=True)
    assert found.left_out == 3
    assert (found.labels.tolist(), found.counts.tolist()) == ([3, 5, 6], [8, 7, 6])
    drawn = draw_episodes(found, FixedProtocol("test", 3, 2, 4, 30, 0))
    assert (birds.labels[drawn.support] == drawn.classes[..., None]).all()


def test_a_pool_knows_its_hierarchy(birds: Pack) -> None:
    found = pool_of(birds, "test", at_least=2, leave_out=True).hierarchy
    assert found is not None
    assert (found.kind, [node.tolist() for node in found.nodes]) == ("superclasses", [[0, 1], [2, 3, 4]])
    train = pool_of(birds, "train").hierarchy
    assert train is not None
    assert train.nodes == ()


def test_a_pool_knows_tracks_where_they_shall_be_apart(birds: Pack) -> None:
    assert pool_of(birds, "test").tracks is None
    found = pool_of(birds, "test", at_least=6, leave_out=True, tracks_apart=True)
    assert found.tracks is not None
    assert [tracks.tolist() for tracks in found.tracks] == [
        [0, 0, 1, 1, 2, 2, 3, 3],
        [0, 0, 1, 1, 2, 2, 3],
        [0, 0, 1, 1, 2, 2],
    ]
    assert pool_of(replace(birds, tracks=None), "test", tracks_apart=True).tracks is None


def test_episodes_of_fixed_shape_are_one_block() -> None:
    found = draw_episodes(pool(*[9] * 5), FixedProtocol("test", 3, 1, 2, 5, seed=0))
    assert [block.support_images.shape for block in found.blocks] == [(5, 3)]
    assert found.blocks[0].digest == found.digest


def test_a_pool_names_the_classes_that_are_too_small() -> None:
    sizes = np.array([20, 3, 20, 1, 2, 1, 4, 3, 1])
    pack = SimpleNamespace(
        source="birds",
        splits={"test": range(9)},
        classes=[f"bird {label}" for label in range(9)],
        counts=sizes,
        first=np.cumsum(sizes) - sizes,
    )
    with pytest.raises(EpisodeError) as caught:
        pool_of(pack, "test", at_least=6)
    text = str(caught.value)
    assert "an episode needs 6 images a class, but the test split of birds has classes with fewer: " in text
    assert "bird 1 (3), bird 3 (1), bird 4 (2), bird 5 (1), bird 6 (4) and 2 more" in text


def test_a_pack_with_tracks_keeps_them_apart_only_where_that_is_asked_for(tmp_path: Path) -> None:
    plain = write_small_pack(tmp_path)
    pack = replace(plain, tracks=np.arange(len(plain.labels)) // 2)
    protocol = FixedProtocol("test", 5, 2, 4, 30, 0)
    for apart, said in ((True, "apart"), (False, "shared")):
        sampler = Sampler(pack, protocol, Rules(tracks_apart=apart))
        assert (sampler.tracks, parts_tracks(pack, sampler.draw())) == (said, apart)
    assert Sampler(plain, protocol, Rules(tracks_apart=True)).tracks is None
