"""What a plan consists of: models to train, test episodes, and the cells where they meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fsbench.backbones.specification import BackboneSpec
from fsbench.data.pack import Pack
from fsbench.engine.schedule import Schedule
from fsbench.episodes.content import content_digest
from fsbench.episodes.protocol import AnyEpisodes, AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.identity import CellIdentity
from fsbench.run.frozen import Untrained

__all__ = ["Cell", "EpisodeSet", "Training"]


@dataclass(frozen=True)
class Training:
    """One model to train: a method on one or more sources at a shot with a seed.

    Attributes:
        id: SHA-256 of everything that can change its weights.
        row: The suite's row that defines it.
        method: The method's name.
        backbone: Of its model.
        backbone_revision: Of that backbone's code.
        params: Its hyper-parameters at this shot.
        sources: The training sources.
        validation_source: The source of the validation episodes.
        shot: Of the training episodes; None when training on batches, or on variable shots.
        schedule: How it goes.
        validation: The validation episodes.
        starts_from: The training whose backbone it starts from, or None.
        frozen: Whether it leaves that backbone as it is.
    """

    id: str
    row: str
    method: str
    backbone: BackboneSpec
    backbone_revision: int | str
    params: dict[str, Any]
    sources: tuple[str, ...]
    validation_source: str
    shot: int | None
    schedule: Schedule
    validation: AnyProtocol
    starts_from: Training | None
    frozen: bool = False

    @property
    def upon(self) -> list[Training]:
        """The trainings that it builds upon, first the one that starts from random weights."""
        return [] if self.starts_from is None else [*self.starts_from.upon, self.starts_from]

    @property
    def title(self) -> str:
        """What it is called where its progress is told."""
        return _title(self.row, self.shot, self.schedule.seed)

    @property
    def name(self) -> str:
        """A readable file name that no other training has."""
        sources = "+".join(self.sources) if len(self.sources) == 1 else f"{len(self.sources)}sources"
        shot = "" if self.shot is None else f"-{self.shot}shot"
        return f"{self.row}-{sources.replace(':', '-')}{shot}-seed{self.schedule.seed}-{self.id[:12]}"


@dataclass(frozen=True)
class EpisodeSet:
    """The test episodes of one source and protocol, and where they come from.

    Attributes:
        protocol: How they were drawn.
        episodes: The episodes, as indices into a pack.
        digest: SHA-256 of what they show; empty in a forecast, which has no images.
        sampler: The sampler's version.
        tracks: Whether support and query may share a track; None for a source without tracks.
        left_out: Classes that have too few images for them.
    """

    protocol: AnyProtocol
    episodes: AnyEpisodes
    digest: str
    sampler: str
    tracks: Literal["apart", "shared", "unknown"] | None = None
    left_out: int = 0

    @classmethod
    def drawn(cls, pack: Pack, protocol: AnyProtocol, rules: Rules) -> EpisodeSet:
        """The episodes of a protocol from a pack.

        Raises:
            EpisodeError: There are too few classes, or a class has too few images or tracks.
        """
        sampler = Sampler(pack, protocol, rules)
        episodes, digest = (drawn := sampler.draw()), content_digest(pack, drawn)
        return cls(protocol, episodes, digest, protocol.sampler, sampler.tracks, sampler.pool.left_out)


@dataclass(frozen=True)
class Cell:
    """One number to measure: a training or a frozen backbone, evaluated as a row on the test episodes of a source.

    Attributes:
        identity: What can change the number.
        label: The row's name in tables.
        training: What made its model.
        recipe: The id that the training would have with seed 0, which is one for all seeds.
        episode_set: What it is tested on.
    """

    identity: CellIdentity
    label: str
    training: Training | Untrained
    recipe: str
    episode_set: EpisodeSet

    @property
    def step_images(self) -> int | None:
        """Images that a step of its training embeds; None: there is no training, or they vary."""
        return None if isinstance(self.training, Untrained) else self.training.schedule.step_images

    @property
    def title(self) -> str:
        """What it is called where its progress is told; without its source."""
        return _title(self.identity.row, self.identity.shot, self.identity.train_seed)


def _title(row: str, shot: int | None, seed: int) -> str:
    of_shot, of_seed = "" if shot is None else f" {shot}-shot", f" (seed {seed})" if seed else ""
    return f"{row}{of_shot}{of_seed}"
