"""From a pack and a protocol to episodes, whatever their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fsbench.data.card import list_cards
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.kshot import KShotProtocol
from fsbench.episodes.pool import pool_of
from fsbench.episodes.protocol import AnyEpisodes, AnyProtocol
from fsbench.episodes.variable import VariableProtocol

if TYPE_CHECKING:
    from fsbench.data.pack import Pack

__all__ = ["Rules", "Sampler", "protocol_of"]


@dataclass(frozen=True)
class Rules:
    """What a suite says about the classes of its sources.

    Attributes:
        leave_out: Leave out classes with too few images for shot + queries, instead of stopping.
        tracks_apart: Support and query of an episode never show the same object, where that is known.
    """

    leave_out: bool = False
    tracks_apart: bool = False


def protocol_of(
    split: str, way: int | None, shot: int | None, queries: int | None, *, episodes: int, seed: int
) -> AnyProtocol:
    """The protocol with this way, shot and queries per class.

    Without a shot all three vary, as in Meta-Dataset. With a shot but without a way, episodes have all classes and ask
    all images of the test set.
    """
    if shot is None:
        return VariableProtocol(split, episodes, seed)
    if way is None or queries is None:
        return KShotProtocol(split, shot, episodes, seed)
    return FixedProtocol(split, way, shot, queries, episodes, seed)


class Sampler:
    """The episodes of a protocol on a pack.

    Args:
        pack: The pack.
        protocol: How episodes are drawn.
        rules: Which classes are drawn from.

    Attributes:
        pool: The classes that are drawn from.

    Raises:
        EpisodeError: A class has too few images, and may not be left out.
    """

    def __init__(self, pack: Pack, protocol: AnyProtocol, rules: Rules) -> None:
        self._pack, self._protocol = pack, protocol
        self.pool = pool_of(
            pack,
            protocol.split,
            at_least=protocol.at_least,
            leave_out=rules.leave_out,
            tracks_apart=rules.tracks_apart and protocol.parts_tracks,
        )

    @property
    def tracks(self) -> Literal["apart", "shared", "unknown"] | None:
        """Whether support and query may share a track; None for a source without tracks."""
        if self._pack.tracks is not None:
            return "shared" if self.pool.tracks is None else "apart"
        tracked = {card.name for card in list_cards() if card.track}
        return "unknown" if self._pack.source in tracked else None

    def draw(self, start: int = 0, stop: int | None = None) -> AnyEpisodes:
        """The episodes `start` to `stop`, or all of the protocol from `start` on.

        Raises:
            EpisodeError: There are too few classes, or a class has too few images or tracks.
        """
        return self._protocol.draw(self.pool, start, stop)
