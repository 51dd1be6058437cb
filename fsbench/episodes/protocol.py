"""What every way of drawing episodes gives: `fsbench.episodes.fixed`, `.variable`, `.kshot`, and any other.

A new way is one module with a frozen dataclass that satisfies `AnyProtocol`, a line in
`fsbench.episodes.sampler.protocol_of`, its name in `fsbench.setting.ProtocolName`, and goldens of its draw. All else
asks the members below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from fsbench.episodes.pool import ClassPool
from fsbench.episodes.streams import Integers

__all__ = ["AnyEpisodes", "AnyProtocol", "Block"]


class Block(Protocol):
    """E episodes of one shape: S support and Q query images each.

    Nothing says that classes have equal shots: read `support_labels`.
    """

    @property
    def classes(self) -> Integers:
        """Labels in the pack, int64 `[E, way]`; the position in this row is the label within the episode."""

    @property
    def way(self) -> int:
        """Classes per episode."""

    @property
    def support_images(self) -> Integers:
        """Support image indices, class by class, int64 `[E, S]`."""

    @property
    def support_labels(self) -> Integers:
        """Labels within the episode of `support_images`, int64 `[E, S]`."""

    @property
    def query_images(self) -> Integers:
        """Query image indices in the order of presentation, int64 `[E, Q]`."""

    @property
    def query_labels(self) -> Integers:
        """Labels within the episode of `query_images`, int64 `[E, Q]`."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice) -> Block: ...


class AnyEpisodes(Protocol):
    """Episodes as indices into a pack, whatever their shapes."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All of them, those of one shape that follow each other together."""

    @property
    def arrays(self) -> Mapping[str, Integers]:
        """All indices by name, as a file of episodes holds them."""

    @property
    def digest(self) -> str:
        """SHA-256 over all indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice) -> AnyEpisodes: ...


class AnyProtocol(Protocol):
    """How episodes are drawn; in words as `str`.

    Attributes:
        kind: Its name on the command line.
        sampler: The version of its draw, which is raised whenever the same address would give another episode.
        one_shape: Whether all episodes have as many images.
        parts_tracks: Whether the draw can keep support and query on different tracks.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    kind: ClassVar[str]
    sampler: ClassVar[str]
    one_shape: ClassVar[bool]
    parts_tracks: ClassVar[bool]

    @property
    def split(self) -> str:
        """The split of the pack: "train", "val" or "test"."""

    @property
    def episodes(self) -> int:
        """How many; a shorter run is a prefix of a longer one."""

    @property
    def seed(self) -> int:
        """Another seed, other episodes."""

    @property
    def way(self) -> int | None:
        """Classes per episode; None: they vary, or are all that there are."""

    @property
    def shot(self) -> int | None:
        """Support images per class; None: they vary."""

    @property
    def queries(self) -> int | None:
        """Queries per class; None: they vary, or are all that there are."""

    @property
    def at_least(self) -> int:
        """Images that a class must have to be drawn."""

    @property
    def largest(self) -> tuple[int, int]:
        """Most classes of an episode, and most images of a class, support and queries together."""

    def most_ways(self, pool: ClassPool) -> int:
        """Most classes that an episode from a pool may have.

        Raises:
            EpisodeError: There are too few classes for any.
        """

    def identity(self) -> dict[str, Any]:
        """What of it enters the identity of a training."""

    def draw(self, pool: ClassPool, start: int = 0, stop: int | None = None) -> AnyEpisodes:
        """Draw the episodes `start` to `stop`, or all of the protocol from `start` on.

        Raises:
            EpisodeError: There are too few classes, or a class has too few images or tracks.
        """
