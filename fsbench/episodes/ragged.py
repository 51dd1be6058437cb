"""Episodes of which each has a shape of its own: those of the protocols "variable" and "k-shot"."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fsbench.episodes.pool import digest_of
from fsbench.episodes.streams import Integers

__all__ = ["RaggedEpisode", "RaggedEpisodes"]


@dataclass(frozen=True)
class RaggedEpisode:
    """One episode with a shape of its own, as an `fsbench.episodes.protocol.Block`: E is 1, or 0 after slicing.

    Attributes:
        classes: Labels in the pack, int64 `[E, way]`; the position in this row is the label within the episode.
        support_images: Image indices, class by class, int64 `[E, S]`.
        support_labels: Their labels within the episode, int64 `[E, S]`.
        query_images: Image indices in the order of presentation, int64 `[E, Q]`.
        query_labels: Their labels within the episode, int64 `[E, Q]`.
    """

    classes: Integers
    support_images: Integers
    support_labels: Integers
    query_images: Integers
    query_labels: Integers

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, which: slice) -> RaggedEpisode:
        return RaggedEpisode(*(array[which] for array in self.arrays))

    @property
    def way(self) -> int:
        """Classes of the episode."""
        return int(self.classes.shape[1])

    @property
    def arrays(self) -> tuple[Integers, ...]:
        """All that it holds, in the order above."""
        return self.classes, self.support_images, self.support_labels, self.query_images, self.query_labels


@dataclass(frozen=True)
class RaggedEpisodes:
    """Episodes of different shapes as indices into a pack.

    Attributes:
        blocks: The episodes, one by one.
    """

    blocks: tuple[RaggedEpisode, ...]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, which: slice) -> RaggedEpisodes:
        return RaggedEpisodes(self.blocks[which])

    @property
    def arrays(self) -> Mapping[str, Integers]:
        """The indices and labels by name, one episode after another, and where in them each starts and ends."""
        sizes = [[block.way, block.support_images.size, block.query_images.size] for block in self.blocks]
        joined = [np.concatenate(parts, axis=1)[0] for parts in zip(*(b.arrays for b in self.blocks), strict=True)]
        names = ("classes", "support", "support_labels", "query", "query_labels")
        return dict(zip(names, joined, strict=True)) | {"offsets": np.cumsum([[0, 0, 0], *sizes], axis=0)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all indices."""
        return digest_of(itertools.chain.from_iterable(block.arrays for block in self.blocks))
