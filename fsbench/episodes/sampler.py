"""The samplers behind one interface: from a pack and a protocol to episodes, whatever their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from fsbench.data.card import list_cards
from fsbench.episodes import fixed, variable
from fsbench.episodes.fixed import Episodes, Protocol, draw_episodes
from fsbench.episodes.pool import ClassPool, pool_of
from fsbench.episodes.variable import MIN_IMAGES, VariableEpisodes, VariableProtocol, draw_variable

if TYPE_CHECKING:
    from fsbench.data.pack import Pack

__all__ = ["AnyEpisodes", "AnyProtocol", "Rules", "Sampler"]

AnyProtocol: TypeAlias = Protocol | VariableProtocol
AnyEpisodes: TypeAlias = Episodes | VariableEpisodes


@dataclass(frozen=True)
class Rules:
    """What a suite says about the classes of its sources.

    Attributes:
        leave_out: Leave out classes with too few images for shot + queries, instead of stopping.
        tracks_apart: Support and query of an episode never show the same object, where that is known.
    """

    leave_out: bool = False
    tracks_apart: bool = False


class Sampler:
    """Draws the episodes of a protocol from a pack.

    Args:
        pack: The pack.
        protocol: How episodes are drawn.
        rules: Which classes are drawn from.

    Raises:
        EpisodeError: A class has too few images, and may not be left out.
    """

    def __init__(self, pack: Pack, protocol: AnyProtocol, rules: Rules) -> None:
        self._pack, self._protocol = pack, protocol
        fixed = isinstance(protocol, Protocol)
        at_least = protocol.shot + protocol.queries if isinstance(protocol, Protocol) else MIN_IMAGES
        self._pool: ClassPool = pool_of(
            pack,
            protocol.split,
            at_least=at_least,
            leave_out=rules.leave_out,
            tracks_apart=rules.tracks_apart and fixed,
        )

    @property
    def version(self) -> str:
        """Of the sampler."""
        return fixed.SAMPLER if isinstance(self._protocol, Protocol) else variable.SAMPLER

    @property
    def left_out(self) -> int:
        """Classes of the split that have too few images."""
        return self._pool.left_out

    @property
    def tracks(self) -> Literal["apart", "shared", "unknown"] | None:
        """Whether support and query may share a track; None for a source without tracks."""
        if self._pack.tracks is not None:
            return "shared" if self._pool.tracks is None else "apart"
        tracked = {card.name for card in list_cards() if card.track}
        return "unknown" if self._pack.source in tracked else None

    def draw(self, start: int = 0, stop: int | None = None) -> AnyEpisodes:
        """The episodes `start` to `stop`, or all of the protocol from `start` on.

        Raises:
            EpisodeError: There are too few classes, or a class has too few images or tracks.
        """
        if isinstance(self._protocol, Protocol):
            return draw_episodes(self._pool, self._protocol, start, stop)
        return draw_variable(self._pool, self._protocol, start, stop)
