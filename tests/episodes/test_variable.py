from __future__ import annotations

import decimal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, ks_2samp, sem

from fsbench.episodes.pool import ClassPool, PoolHierarchy
from fsbench.episodes.ragged import RaggedEpisode
from fsbench.episodes.streams import Integers
from fsbench.episodes.variable import VariableProtocol, draw_variable
from fsbench.errors import EpisodeError

CANNOT_BE_CHANCE = 1e-4  # the draws below are fixed, so a test of them passes always or never
STANDARD_ERRORS = 4  # by which two means of independent draws may differ


def pool(counts: list[int], kind: str | None = None, nodes: list[list[int]] | None = None) -> ClassPool:
    sizes = np.array(counts, dtype=np.int64)
    names = tuple(f"class {label}" for label in range(len(sizes)))
    groups = tuple(np.array(node, dtype=np.int64) for node in nodes or [])
    return ClassPool(
        names,
        np.arange(len(sizes)),
        np.cumsum(sizes) - sizes,
        sizes,
        hierarchy=PoolHierarchy(kind, groups) if kind else None,
    )


def sets(*sizes: int) -> list[list[int]]:
    """Neighbouring classes in sets of these sizes."""
    ends = np.cumsum(sizes).tolist()
    return [list(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


MIXED = [6 + 37 * label % 400 for label in range(30)]  # 6 to 405 images
EVEN = pool([20] * 70)
UNEVEN = pool(MIXED)
LARGE = pool([1300] * 60)
ALPHABETS = pool([20] * 60, "superclasses", sets(26, 4, 14, 16))
GRAPH = pool([40 + label for label in range(80)], "graph", [*sets(5, 20, 52, 3), list(range(77)), list(range(4))])


@pytest.mark.parametrize(
    ("source", "digest"),
    [
        (EVEN, "ea5f7ce1f20fdbb581ba9767b8a7e2d422c315cb58f0a5d91edfa2fb61964d28"),
        (UNEVEN, "612fe785124aa0d3705f437ef8acdfbbf4c853cf1ce07565c9df10d22291d377"),
        (LARGE, "d1b146f26bef8c564d52cc15290609053adfb2ea06ba90c3fa92ee47feb576d4"),
        (ALPHABETS, "e4f3a3e79f6f60fa2ff062c9029fb7f3ba29c0507d83660b46117345d12b462c"),
        (GRAPH, "c4ce4eac338850c9acf27c9ccd95e50587a1de8d368ccdeec9ef875f6c8492f9"),
    ],
    ids=["even", "uneven", "large", "alphabets", "graph"],
)
def test_the_draw_of_this_sampler_version_is_frozen(source: ClassPool, digest: str) -> None:
    assert draw_variable(source, VariableProtocol("test", 20, seed=0)).digest == digest


class Shape(NamedTuple):
    """What Meta-Dataset's rules decide of an episode before any image is drawn."""

    way: int
    queries: int
    shots: list[int]


def shape_of(episode: RaggedEpisode) -> Shape:
    shots = np.bincount(episode.support_labels[0], minlength=episode.way).tolist()
    return Shape(episode.way, episode.query_images.size // episode.way, shots)


def plain_shapes(source: ClassPool, number: int) -> Iterator[Shape]:
    """The rules once more: NumPy's own generator, floating point, one line a rule."""
    random = np.random.default_rng(0)
    nodes = source.hierarchy.nodes if source.hierarchy else [np.arange(len(source.counts))]
    graph = source.hierarchy is not None and source.hierarchy.kind == "graph"
    nodes = [node for node in nodes if len(node) >= 5 and not (graph and len(node) > 392)]
    for _ in range(number):
        node = nodes[random.integers(len(nodes))]
        way = min(50, len(node)) if graph else random.integers(5, min(50, len(node)), endpoint=True)
        images = source.counts[random.choice(node, way, replace=False)]
        queries = min(10, min(images // 2))
        beta = random.uniform()
        support = min(500, sum(np.floor(beta * min(100, count - queries) + 1) for count in images))
        weights = images * np.exp(random.uniform(np.log(0.5), np.log(2), way))
        shares = np.floor(weights / weights.sum() * (support - way)) + 1
        yield Shape(way, queries, np.minimum(shares, images - queries).astype(int).tolist())


@pytest.mark.parametrize(
    "source", [EVEN, UNEVEN, LARGE, ALPHABETS, GRAPH], ids=["even", "uneven", "large", "alphabets", "graph"]
)
def test_shapes_are_distributed_as_by_a_plain_transcription_of_the_rules(source: ClassPool) -> None:
    drawn = [shape_of(episode) for episode in draw_variable(source, VariableProtocol("test", 700, seed=1)).blocks]
    plain = list(plain_shapes(source, 3000))
    figures = {
        "way": lambda shape: shape.way,
        "queries": lambda shape: shape.queries,
        "support": lambda shape: sum(shape.shots),
        "smallest shot": lambda shape: min(shape.shots),
        "largest shot": lambda shape: max(shape.shots),
        "shots of the first class": lambda shape: shape.shots[0],
        "imbalance": lambda shape: max(shape.shots) / sum(shape.shots) * shape.way,
    }
    for name, figure in figures.items():
        ours, theirs = ([figure(shape) for shape in shapes] for shapes in (drawn, plain))
        error = np.hypot(sem(ours), sem(theirs))
        assert abs(np.mean(ours) - np.mean(theirs)) <= STANDARD_ERRORS * error, name
        assert ks_2samp(ours, theirs).pvalue > CANNOT_BE_CHANCE, name


def assert_uniform(values: list[int], kinds: int) -> None:
    observed = Counter(values)
    assert len(observed) == kinds
    assert chisquare(list(observed.values())).pvalue > CANNOT_BE_CHANCE


def test_ways_are_uniform_and_both_bounds_occur() -> None:
    ways = [episode.way for episode in draw_variable(pool([2] * 70), VariableProtocol("test", 1500, seed=2)).blocks]
    assert (min(ways), max(ways)) == (5, 50)
    assert_uniform(ways, 46)
    ways = [episode.way for episode in draw_variable(pool([2] * 30), VariableProtocol("test", 1000, seed=2)).blocks]
    assert (min(ways), max(ways)) == (5, 30)
    assert_uniform(ways, 26)


def test_alphabets_are_uniform_and_ways_within_them() -> None:
    """One has four letters only and is never drawn."""
    drawn = draw_variable(ALPHABETS, VariableProtocol("test", 1000, seed=2)).blocks
    assert ALPHABETS.hierarchy is not None
    owner = np.repeat(np.arange(4), [len(node) for node in ALPHABETS.hierarchy.nodes])
    alphabets = [set(owner[episode.classes[0]].tolist()) for episode in drawn]
    assert all(len(found) == 1 for found in alphabets)
    numbers = [found.pop() for found in alphabets]
    assert set(numbers) == {0, 2, 3}
    assert_uniform(numbers, 3)
    for alphabet, size in ((0, 26), (2, 14), (3, 16)):
        assert_uniform(
            [block.way for block, number in zip(drawn, numbers, strict=True) if number == alphabet], size - 4
        )


def test_an_episode_of_a_graph_has_all_classes_of_an_inner_node() -> None:
    """Those with 3 and 4 classes are never drawn, and of 52 and of 77 there are 50."""
    drawn = draw_variable(GRAPH, VariableProtocol("test", 600, seed=2)).blocks
    episodes = [frozenset(block.classes[0].tolist()) for block in drawn]
    small, middle = frozenset(range(5)), frozenset(range(5, 25))
    whole = frozenset(range(77))
    assert all(found in (small, middle) or (len(found) == 50 and found <= whole) for found in episodes)
    nodes = Counter(len(found) if found in (small, middle) else 52 if min(found) >= 25 else 77 for found in episodes)
    assert chisquare(list(nodes.values())).pvalue > CANNOT_BE_CHANCE
    assert len(nodes) == 4
    assert len({tuple(block.classes[0]) for block in drawn if block.way == 5}) > 60  # the labels are permuted
    chosen = Counter(label for found in episodes if len(found) == 50 and min(found) < 25 for label in found)
    assert set(chosen) == whole


def test_only_nodes_of_at_most_392_classes_are_drawn() -> None:
    source = pool([4] * 400, "graph", [list(range(393)), list(range(392))])
    assert all(block.classes.max() < 392 for block in draw_variable(source, VariableProtocol("test", 30, 0)).blocks)


@st.composite
def draws(draw: st.DrawFn) -> tuple[ClassPool, VariableProtocol]:
    counts = draw(st.lists(st.integers(2, 40) | st.integers(2, 1000), min_size=5, max_size=60))
    kind = draw(st.sampled_from([None, "superclasses", "graph"]))
    cut = draw(st.integers(5, len(counts)))
    nodes = [list(range(cut)), list(range(cut, len(counts)))]
    return pool(counts, kind, nodes), VariableProtocol("test", draw(st.integers(1, 4)), draw(st.integers(0, 99)))


@settings(deadline=None)
@given(draws())
def test_episodes_keep_the_rules(drawn: tuple[ClassPool, VariableProtocol]) -> None:
    source, protocol = drawn
    found = draw_variable(source, protocol)
    assert len(found) == len(found.blocks) == protocol.episodes
    owner = np.repeat(source.labels, source.counts)
    for block in found.blocks:
        assert len(block) == 1
        classes, counts = block.classes[0], source.counts[block.classes[0]]
        way, queries, shots = shape_of(block)
        images = np.concatenate([block.support_images[0], block.query_images[0]])
        labels = np.concatenate([block.support_labels[0], block.query_labels[0]])
        assert len(set(images)) == len(images)
        assert (owner[images] == classes[labels]).all()
        assert len(set(classes)) == way
        assert 5 <= way <= min(50, len(source.counts))
        assert queries == min(10, counts.min() // 2)
        assert np.bincount(block.query_labels[0]).tolist() == [queries] * way
        assert way <= sum(shots) <= 500
        assert all(1 <= shot <= count - queries for shot, count in zip(shots, counts, strict=True))
        assert (np.diff(block.support_labels[0]) >= 0).all()


@settings(deadline=None)
@given(draws(), st.integers(0, 6), st.integers(0, 3))
def test_any_run_of_episodes_drawn_alone_is_the_same(
    drawn: tuple[ClassPool, VariableProtocol], start: int, more: int
) -> None:
    source, protocol = drawn
    whole = draw_variable(source, protocol, 0, start + more)
    assert draw_variable(source, protocol, start, start + more).digest == whole[start:].digest
    assert draw_variable(source, protocol, 0, start).digest == whole[:start].digest


def test_classes_of_two_images_give_one_of_each() -> None:
    for block in draw_variable(pool([2] * 9), VariableProtocol("test", 20, 0)).blocks:
        assert shape_of(block) == (block.way, 1, [1] * block.way)


def test_images_and_orders_are_uniform() -> None:
    drawn = draw_variable(pool([3, 7, 3, 3, 3]), VariableProtocol("test", 2000, seed=3)).blocks

    def of_class_1(images: Integers) -> list[int]:
        return [image - 3 for image in images[0].tolist() if 3 <= image < 10]

    support, query = zip(*((of_class_1(b.support_images), of_class_1(b.query_images)) for b in drawn), strict=True)
    assert_uniform([images[0] for images in support], 7)
    assert_uniform([images[0] for images in query], 7)
    assert_uniform([block.query_labels[0, 0] for block in drawn], 5)


@pytest.mark.parametrize(
    ("other", "protocol"),
    [
        (ALPHABETS, VariableProtocol("val", 9, 0)),
        (ALPHABETS, VariableProtocol("test", 9, 1)),
        (replace(ALPHABETS, names=tuple("ab" * 30)), VariableProtocol("test", 9, 0)),
        (replace(ALPHABETS, counts=ALPHABETS.counts + 1), VariableProtocol("test", 9, 0)),
        (pool([20] * 60, "superclasses", sets(26, 4, 16, 14)), VariableProtocol("test", 9, 0)),
    ],
    ids=["split", "seed", "names", "counts", "hierarchy"],
)
def test_the_address_decides_the_classes(other: ClassPool, protocol: VariableProtocol) -> None:
    plain = draw_variable(ALPHABETS, VariableProtocol("test", 9, 0)).blocks
    found = draw_variable(other, protocol).blocks
    assert [block.classes.tolist() for block in found] != [block.classes.tolist() for block in plain]


def test_neither_tracks_nor_the_precision_of_decimals_enter() -> None:
    protocol = VariableProtocol("test", 9, 0)
    plain = draw_variable(UNEVEN, protocol).digest
    one_object = tuple(np.zeros(count, dtype=np.int64) for count in MIXED)
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)):
        assert draw_variable(replace(UNEVEN, tracks=one_object), protocol).digest == plain


def test_an_episode_is_a_block_that_can_be_cut() -> None:
    block = draw_variable(EVEN, VariableProtocol("test", 1, 0)).blocks[0]
    assert (block[0:1].support_images == block.support_images).all()
    nothing = block[1:]
    assert (len(nothing), nothing.way, nothing.query_labels.shape) == (0, block.way, (0, block.query_labels.size))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (pool([9] * 4), "^an episode of variable ways needs 5 classes that belong together, but the val split has 4; "),
        (replace(pool([9] * 4), left_out=3), "but the val split has 4 large enough; "),
        (pool([9] * 8, "superclasses", sets(4, 4)), "has 8 and none of its 2 superclasses that many; "),
        (pool([9] * 400, "graph", sets(400)), "has 400 and none of its 1 inner nodes"),
        (pool([9, 9, 1, 9, 9, 9]), "^episodes need 2 images a class, but class 2 has 1; leave such classes out"),
    ],
)
def test_what_cannot_be_drawn_is_explained(source: ClassPool, sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        draw_variable(source, VariableProtocol("val", 2, 0))


def test_the_protocol_reads_well() -> None:
    assert str(VariableProtocol("test", 600, 0)) == "variable way and shot, at most 10 queries per class"
