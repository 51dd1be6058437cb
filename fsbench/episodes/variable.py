"""Episodes of variable ways and shots, as Meta-Dataset draws them (Triantafillou et al., ICLR 2020, section 3.2).

Classes: a way uniform between `MIN_WAYS` and the number of classes, at most `MAX_WAYS_UPPER_BOUND`. Where classes
belong to superclasses (Omniglot's alphabets), they are those of one superclass, drawn uniformly among the ones that
have `MIN_WAYS`. Where they are the leaves of a graph (ImageNet's WordNet), an inner node that reaches `MIN_WAYS` to
`MAX_SPANNING_LEAVES_ELIGIBLE` of them is drawn uniformly, and the episode has all that it reaches, or
`MAX_WAYS_UPPER_BOUND` of them.

Queries: of every class equally many, half of the smallest class of the episode, at most `MAX_NUM_QUERY`.

Shots: with |c| images and r_c = |c| - queries that remain of class c, the support has S images,

    S = min(MAX_SUPPORT_SET_SIZE, sum_c floor(beta * min(MAX_SUPPORT_SIZE_CONTRIB_PER_CLASS, r_c) + 1)),

beta uniform in [0, 1). One goes to each class and the rest in proportion to |c| exp(a_c), a_c uniform between
`MIN_LOG_WEIGHT` and `MAX_LOG_WEIGHT`; a share is rounded down, and no class gives more than r_c.

The rules and constants are those of the authors' code (google-research/meta-dataset, `data/sampling.py`). It stops
at a superclass with fewer than `MIN_WAYS` classes; here such a superclass is not drawn from, so that a part of a
source can be used. As there, support and query may share a track, even in a pool that keeps tracks apart.

As with `fsbench.episodes.fixed`, episode `i` depends on the sampler version, the names and sizes of the classes, their
hierarchy, the split, the seed and `i` alone. Nothing is computed in binary floating point, whose `exp` differs from
platform to platform: fractions are integers over 2^53, and `decimal` rounds correctly everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any, ClassVar, Final

import numpy as np

from fsbench.episodes.pool import ClassPool
from fsbench.episodes.ragged import RaggedEpisode, RaggedEpisodes
from fsbench.episodes.streams import FRACTION_BITS, Integers, Stream, address_key, choose_unequal
from fsbench.errors import EpisodeError
from fsbench.setting import setting_of

__all__ = [
    "MAX_LOG_WEIGHT",
    "MAX_NUM_QUERY",
    "MAX_SPANNING_LEAVES_ELIGIBLE",
    "MAX_SUPPORT_SET_SIZE",
    "MAX_SUPPORT_SIZE_CONTRIB_PER_CLASS",
    "MAX_WAYS_UPPER_BOUND",
    "MIN_IMAGES",
    "MIN_LOG_WEIGHT",
    "MIN_WAYS",
    "SAMPLER",
    "VariableProtocol",
    "draw_variable",
]

SAMPLER: Final = "variable-1"  # raised whenever the same address would give another episode

_DECIMALS = Context(prec=28)

MIN_WAYS: Final = 5
MAX_WAYS_UPPER_BOUND: Final = 50
MAX_NUM_QUERY: Final = 10
MAX_SUPPORT_SET_SIZE: Final = 500
MAX_SUPPORT_SIZE_CONTRIB_PER_CLASS: Final = 100
MIN_LOG_WEIGHT: Final = _DECIMALS.ln(Decimal("0.5"))
MAX_LOG_WEIGHT: Final = _DECIMALS.ln(Decimal(2))
MAX_SPANNING_LEAVES_ELIGIBLE: Final = 392
MIN_IMAGES: Final = 2  # of a class: one to learn from, one to ask

# Where an episode finds its words.
_NODE, _WAY, _CLASSES = 0, 1, 2
_BETA = _CLASSES + MAX_WAYS_UPPER_BOUND
_WEIGHTS = _BETA + 1
_IMAGES = _WEIGHTS + MAX_WAYS_UPPER_BOUND
_ORDER = _IMAGES + MAX_SUPPORT_SET_SIZE + MAX_WAYS_UPPER_BOUND * MAX_NUM_QUERY
_WORDS = _ORDER + MAX_WAYS_UPPER_BOUND * MAX_NUM_QUERY


@dataclass(frozen=True)
class VariableProtocol:
    """Episodes of variable ways and shots: an `fsbench.episodes.protocol.AnyProtocol`.

    Attributes:
        split: "train", "val" or "test".
        episodes: How many; a shorter run is a prefix of a longer one.
        seed: Another seed, other episodes.
    """

    kind: ClassVar[str] = "variable"
    sampler: ClassVar[str] = SAMPLER
    one_shape: ClassVar[bool] = False
    parts_tracks: ClassVar[bool] = False
    way: ClassVar[None] = None
    shot: ClassVar[None] = None
    queries: ClassVar[None] = None
    at_least: ClassVar[int] = MIN_IMAGES
    largest: ClassVar[tuple[int, int]] = MAX_WAYS_UPPER_BOUND, MAX_SUPPORT_SIZE_CONTRIB_PER_CLASS + MAX_NUM_QUERY

    split: str
    episodes: int
    seed: int

    def most_ways(self, pool: ClassPool) -> int:
        """The classes of the largest set of the pool that an episode is drawn from, at most `MAX_WAYS_UPPER_BOUND`.

        Raises:
            EpisodeError: No set has `MIN_WAYS` classes.
        """
        return min(MAX_WAYS_UPPER_BOUND, max(map(len, _eligible_nodes(pool, self.split))))

    def identity(self) -> dict[str, Any]:
        """What of it enters the identity of a training."""
        return {"split": self.split, "episodes": self.episodes, "seed": self.seed}

    def __str__(self) -> str:
        return f"{setting_of(self.way, self.shot)}, at most {MAX_NUM_QUERY} queries per class"

    def draw(self, pool: ClassPool, start: int = 0, stop: int | None = None) -> RaggedEpisodes:
        """As `draw_variable`."""
        return draw_variable(pool, self, start, stop)


def draw_variable(
    pool: ClassPool, protocol: VariableProtocol, start: int = 0, stop: int | None = None
) -> RaggedEpisodes:
    """Draw the episodes `start` to `stop` of a protocol.

    Args:
        pool: The classes to draw from, each with `MIN_IMAGES` or more.
        protocol: How to draw; `protocol.episodes` does not enter the draw.
        start: Number of the first episode.
        stop: One past the number of the last episode; default `protocol.episodes`.

    Raises:
        EpisodeError: A class has too few images, or too few classes can be drawn together.
    """
    if (pool.counts < MIN_IMAGES).any():
        raise EpisodeError(
            f"episodes need {MIN_IMAGES} images a class, but {pool.names[int(pool.counts.argmin())]} has "
            f"{int(pool.counts.min())}; leave such classes out."
        )
    nodes = _eligible_nodes(pool, protocol.split)
    key = _key(pool, protocol)
    numbers = range(start, protocol.episodes if stop is None else stop)
    return RaggedEpisodes(tuple(_draw_one(pool, nodes, key, number) for number in numbers))


def _key(pool: ClassPool, protocol: VariableProtocol) -> bytes:
    """The address of a protocol on a pool: everything but the episode's number."""
    hierarchy = pool.hierarchy
    return address_key(
        {
            "sampler": SAMPLER,
            "classes": pool.names,
            "counts": pool.counts.tolist(),
            "hierarchy": hierarchy and [hierarchy.kind, [node.tolist() for node in hierarchy.nodes]],
            "protocol": [protocol.split, protocol.seed],
        }
    )


def _eligible_nodes(pool: ClassPool, split: str) -> list[Integers]:
    """The sets of classes, as positions within the pool, of which an episode takes one."""
    hierarchy = pool.hierarchy
    nodes = (np.arange(len(pool.labels)),) if hierarchy is None else hierarchy.nodes
    most = MAX_SPANNING_LEAVES_ELIGIBLE if _takes_all(pool) else len(pool.labels)
    if eligible := [node for node in nodes if MIN_WAYS <= len(node) <= most]:
        return eligible
    found = f"the {split} split has {pool.available}"
    if hierarchy is not None:
        found += f" and none of its {len(nodes)} {'inner nodes' if _takes_all(pool) else 'superclasses'} that many"
    raise EpisodeError(
        f"an episode of variable ways needs {MIN_WAYS} classes that belong together, but {found}; "
        "choose another source."
    )


def _takes_all(pool: ClassPool) -> bool:
    """Whether an episode has all classes of its node, instead of a number drawn for it."""
    return pool.hierarchy is not None and pool.hierarchy.kind == "graph"


def _draw_one(pool: ClassPool, nodes: Sequence[Integers], key: bytes, number: int) -> RaggedEpisode:
    stream = Stream(key, words=_WORDS, episodes=range(number, number + 1))

    def below(position: int, bound: int) -> int:
        return int(stream.below(position, np.array([[bound]]))[0, 0])

    node = nodes[below(_NODE, len(nodes))]
    largest = min(MAX_WAYS_UPPER_BOUND, len(node))
    way = largest if _takes_all(pool) else MIN_WAYS + below(_WAY, largest - MIN_WAYS + 1)
    chosen = node[choose_unequal(stream, _CLASSES, np.array([len(node)]), np.array([way]))[0]]

    counts = pool.counts[chosen]
    queries = min(MAX_NUM_QUERY, int(counts.min()) // 2)
    shots = _shots(stream, counts, counts - queries)
    images = choose_unequal(stream, _IMAGES, counts, shots + queries)
    images = [first + found for first, found in zip(pool.first[chosen], images, strict=True)]
    support = np.concatenate([found[:shot] for found, shot in zip(images, shots, strict=True)])
    query = np.concatenate([found[shot:] for found, shot in zip(images, shots, strict=True)])
    asked = np.array([way * queries])
    order = choose_unequal(stream, _ORDER, asked, asked)[0]
    return RaggedEpisode(
        classes=pool.labels[chosen][None],
        support_images=support[None],
        support_labels=np.repeat(np.arange(way), shots)[None],
        query_images=query[order][None],
        query_labels=order[None] // queries,
    )


def _shots(stream: Stream, counts: Integers, remaining: Integers) -> Integers:
    """Support images `[way]` of classes with `counts` images, `remaining` of them without the queries."""
    way = len(counts)
    beta = stream.fractions(_BETA, 1)[0, 0]
    contributions = (beta * np.minimum(MAX_SUPPORT_SIZE_CONTRIB_PER_CLASS, remaining) >> FRACTION_BITS) + 1
    spare = min(MAX_SUPPORT_SET_SIZE, int(contributions.sum())) - way
    fractions = stream.fractions(_WEIGHTS, way)[0]
    with localcontext(_DECIMALS):
        spread = (MAX_LOG_WEIGHT - MIN_LOG_WEIGHT) / 2**FRACTION_BITS
        weights = [
            count * (MIN_LOG_WEIGHT + spread * fraction).exp()
            for count, fraction in zip(counts.tolist(), fractions.tolist(), strict=True)
        ]
        total = sum(weights)
        desired = [int(weight * spare / total) + 1 for weight in weights]
    return np.minimum(desired, remaining)
