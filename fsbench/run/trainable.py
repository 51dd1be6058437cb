"""Whether the sources of a run can give what its trainings ask for, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsbench.data.pack import Pack
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.pooled import draw_pooled
from fsbench.episodes.sampler import Sampler
from fsbench.errors import EpisodeError
from fsbench.run.cells import Cell, Training

__all__ = ["check_trainings", "trainings_of"]


def trainings_of(cells: Iterable[Cell]) -> list[Training]:
    """The trainings of some cells and those that they start from, each after the one that it starts from."""
    trainings: dict[str, Training] = {}
    for cell in cells:
        for training in (*cell.training.upon, cell.training):
            if isinstance(training, Training):
                trainings.setdefault(training.id, training)
    return list(trainings.values())


def check_trainings(cells: Iterable[Cell], packs: Mapping[str, Pack]) -> None:
    """Draw the first step's data of every training from each of its sources, and the first validation episode.

    Raises:
        EpisodeError: A source has too few classes, or a class too few images; the text names the row.
    """
    for training in trainings_of(cells):
        for source in training.sources:
            _check(training, "train", packs[source])
        _check(training, "validate", packs[training.validation_source])


def _check(training: Training, purpose: str, pack: Pack) -> None:
    schedule = training.schedule
    if purpose == "train" and not pack.splits["train"]:
        raise EpisodeError(f"methods.{training.row} cannot train on {pack.source}: it has no training classes.")
    protocol = schedule.protocol if purpose == "train" else training.validation
    if protocol is None:  # batches of images, which any source has
        return
    try:
        sampler = Sampler(pack, protocol, schedule.rules)
        if purpose == "train" and schedule.pool is not None:
            assert isinstance(protocol, FixedProtocol)  # as the plan has checked
            draw_pooled(sampler.pool, protocol, classes=schedule.pool, tasks=schedule.size, start=0, stop=1)
        else:
            sampler.draw(0, 1)
    except EpisodeError as error:
        raise EpisodeError(f"methods.{training.row} cannot {purpose} on {pack.source}: {error}") from error
