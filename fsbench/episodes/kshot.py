"""Episodes of all classes of a split at K shots, with one test set for every K and every support set.

So are few-shot results of models like CLIP reported: K = 1, 2, 4, 8 and 16 images of every class to learn from, and the
whole test set to answer (Zhou et al., "Learning to prompt for vision-language models", IJCV 2022, section 4.1; Zhang et
al., "Tip-Adapter", ECCV 2022). There the images of a class are parted by the data set. The sources here part classes,
so the images of a class are parted by a draw: half of them, but at least `MOST_SHOTS`, may be shown, and the others are
the test set. Images of one object are never on both sides where the pool keeps its tracks apart.

The parting depends on the sampler version, the split and the classes with their images and tracks: neither on K nor on
the seed. The support set of an episode depends on the seed and the episode's number too, and that of K shots is the
beginning of that of more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from fsbench.episodes.pool import ClassPool, digest_of
from fsbench.episodes.ragged import RaggedEpisode, RaggedEpisodes
from fsbench.episodes.streams import Integers, Stream, address_key, choose_unequal
from fsbench.errors import EpisodeError
from fsbench.setting import setting_of

__all__ = ["MOST_SHOTS", "SAMPLER", "SHOTS", "SUPPORT_SETS", "KShotProtocol", "draw_k_shot"]

SAMPLER: Final = "k-shot-1"  # raised whenever the same address would give another episode

SHOTS: Final = (1, 2, 4, 8, 16)
MOST_SHOTS: Final = 16
SUPPORT_SETS: Final = 10  # of a run that does not say how many; the papers have 3


@dataclass(frozen=True)
class KShotProtocol:
    """Episodes of all classes at K shots: an `fsbench.episodes.protocol.AnyProtocol`.

    Attributes:
        split: "train", "val" or "test".
        shot: K.
        episodes: How many support sets; a shorter run is a prefix of a longer one.
        seed: Another seed, other support sets of the same images.
    """

    kind: ClassVar[str] = "k-shot"
    sampler: ClassVar[str] = SAMPLER
    one_shape: ClassVar[bool] = True
    parts_tracks: ClassVar[bool] = True
    way: ClassVar[None] = None
    queries: ClassVar[None] = None
    at_least: ClassVar[int] = MOST_SHOTS + 1
    largest: ClassVar[tuple[int, int]] = 50, 4 * MOST_SHOTS  # what a forecast takes for the unknown source

    split: str
    shot: int
    episodes: int
    seed: int

    def most_ways(self, pool: ClassPool) -> int:
        """All classes of the pool."""
        return len(pool.labels)

    def identity(self) -> dict[str, Any]:
        """What of it enters the identity of a training."""
        return {"split": self.split, "shot": self.shot, "episodes": self.episodes, "seed": self.seed}

    def __str__(self) -> str:
        return f"{setting_of(self.way, self.shot)}, the whole {self.split} set"

    def draw(self, pool: ClassPool, start: int = 0, stop: int | None = None) -> RaggedEpisodes:
        """As `draw_k_shot`."""
        return draw_k_shot(pool, self, start, stop)


def draw_k_shot(pool: ClassPool, protocol: KShotProtocol, start: int = 0, stop: int | None = None) -> RaggedEpisodes:
    """Draw the episodes `start` to `stop` of a protocol.

    Args:
        pool: The classes, each with more than `MOST_SHOTS` images.
        protocol: How to draw; `protocol.episodes` does not enter the draw.
        start: Number of the first episode.
        stop: One past the number of the last episode; default `protocol.episodes`.

    Raises:
        EpisodeError: More than `MOST_SHOTS` shots are asked for, there is one class only, or a class has no image left
            for the test set.
    """
    if protocol.shot > MOST_SHOTS:
        raise EpisodeError(
            f"the protocol k-shot shows at most {MOST_SHOTS} images a class, not {protocol.shot}; lower the shot."
        )
    if len(pool.labels) < 2:
        raise EpisodeError(
            f"the protocol k-shot needs 2 classes, but the {protocol.split} split has {pool.available}; choose another "
            "source."
        )
    shown, asked = _parted(pool, protocol.split)
    numbers = range(start, protocol.episodes if stop is None else stop)
    return RaggedEpisodes(tuple(_draw_one(pool, protocol, shown, asked, number) for number in numbers))


def _parted(pool: ClassPool, split: str) -> tuple[list[Integers], list[Integers]]:
    """The images of every class that may be shown, and those that are asked, as places within the class.

    Whole tracks of a class, in a random order, go to the first until it has enough; without tracks every image is a
    track of its own.
    """
    tracks = [np.arange(count) for count in pool.counts.tolist()] if pool.tracks is None else list(pool.tracks)
    objects = [np.unique(numbers, return_inverse=True)[1] for numbers in tracks]
    numbers = np.array([own.max() + 1 for own in objects])
    stream = Stream(_key(pool, [split]), words=int(numbers.sum()), episodes=range(1))
    shown, asked = [], []
    for name, own, order in zip(pool.names, objects, choose_unequal(stream, 0, numbers, numbers), strict=True):
        enough = max(MOST_SHOTS, len(own) // 2)
        last = int(np.searchsorted(np.cumsum(np.bincount(own)[order]), enough))
        first = np.isin(own, order[: last + 1])
        if first.all():
            raise EpisodeError(
                f"the protocol k-shot shows {enough} images a class and asks others, but {name}, with {len(own)} "
                f"images in {len(order)} tracks, has none left; choose another source, or let support and query share "
                "tracks."
            )
        shown.append(np.flatnonzero(first))
        asked.append(np.flatnonzero(~first))
    return shown, asked


def _draw_one(
    pool: ClassPool, protocol: KShotProtocol, shown: list[Integers], asked: list[Integers], number: int
) -> RaggedEpisode:
    way, shot, queries = len(shown), protocol.shot, sum(map(len, asked))
    stream = Stream(
        _key(pool, [protocol.split, protocol.seed]),
        words=way + way * MOST_SHOTS + queries,
        episodes=range(number, number + 1),
    )
    (order,) = choose_unequal(stream, 0, np.array([way]), np.array([way]))
    places = choose_unequal(stream, way, np.array([len(images) for images in shown]), np.full(way, MOST_SHOTS))
    (turn,) = choose_unequal(stream, way + way * MOST_SHOTS, np.array([queries]), np.array([queries]))
    support = [pool.first[label] + shown[label][places[label][:shot]] for label in order]
    query = [pool.first[label] + asked[label] for label in order]
    return RaggedEpisode(
        classes=pool.labels[order][None],
        support_images=np.concatenate(support)[None],
        support_labels=np.repeat(np.arange(way), shot)[None],
        query_images=np.concatenate(query)[turn][None],
        query_labels=np.repeat(np.arange(way), [len(images) for images in query])[turn][None],
    )


def _key(pool: ClassPool, protocol: list[object]) -> bytes:
    """The address of the parting, or of support sets: everything but the episode's number."""
    address: dict[str, Any] = {
        "sampler": SAMPLER,
        "classes": pool.names,
        "counts": pool.counts.tolist(),
        "protocol": protocol,
    }
    if pool.tracks is not None:
        address["tracks"] = digest_of(pool.tracks)
    return address_key(address)
