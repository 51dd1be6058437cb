"""What makes one record comparable with another: what has to stand beside its figure wherever that goes."""

from __future__ import annotations

from fsbench.records import Record
from fsbench.setting import setting_of

__all__ = ["comparable", "deviations", "task_name"]


def comparable(record: Record) -> dict[str, str | int | float | bool]:
    """The protocol of a record and the state of its model, by names that its file uses too.

    What varies from episode to episode, or was not said, is left out; accuracies and intervals are in percent.
    """
    identity = record.identity
    facts = {
        "suite": identity.suite,
        "way": identity.way,
        "shot": identity.shot,
        "queries": identity.queries,
        "episodes": identity.episodes,
        "episode_set": identity.episode_set,
        "episode_seed": identity.episode_seed,
        "sampler": identity.sampler,
        "split": identity.split,
        "ci95": record.ci95,
        "transductive": identity.transductive,
        "track": record.track,
        "train_sources": "+".join(identity.train_sources) or None,
        "train_shot": identity.train_shot,
        "train_seed": identity.train_seed,
        "training_fraction": identity.training_fraction,
        "deviates": deviations(record),
        "image_size": identity.images["size"],
        "pack": identity.pack,
        "cell": record.cell,
    }
    return {name: value for name, value in facts.items() if value is not None}


def deviations(record: Record) -> str | None:
    """In words, all in which a record is not what its row and source promise; None: in nothing."""
    fraction = record.identity.training_fraction
    found = [
        "" if fraction == 1 else f"reduced training ({100 * fraction:g} % of the suite's length)",
        record.deviates,
        record.identity.partial and f"test images are incomplete: {record.identity.partial}",
        *(f"training images of {source} are incomplete: {how}" for source, how in record.train_partial.items()),
    ]
    return "; ".join(filter(None, found)) or None


def task_name(record: Record) -> str:
    """The source and the setting, in words."""
    return f"{record.identity.source}, {setting_of(record.identity.way, record.identity.shot)}"
