"""What identifies a cell: whatever can change its number, and the hash of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from fsbench.files.atomic import sha256_json
from fsbench.files.strict import Count, LongText, Number, Seed, StrictModel, Text

__all__ = ["CellIdentity", "cell_id"]


class _Images(BaseModel):
    """What must be known of `CellIdentity.images`, which stays as it was written, since it is hashed."""

    size: Number
    channels: Number


def _check_images(images: dict[str, Any]) -> dict[str, Any]:
    _Images.model_validate(images, strict=True)
    return images


class CellIdentity(StrictModel):
    """Everything that can change the number of a cell, apart from the arithmetic of the machine.

    Two records with the same identity measure the same thing; a record is reused for a cell only if
    their identities are equal. Device, thread count and library versions are in `Environment`.

    Records of schema 1 know no revisions of engine and backbone, and their `episode_set` is of the episodes'
    indices in the pack.
    """

    suite: Text
    row: Text  # the key of the row in the suite file, e.g. "relation-transductive"
    method: LongText  # the method's name, e.g. "relation"
    method_revision: Count | Text  # raised when the same hyper-parameters would give other numbers
    params: dict[str, Any]  # every hyper-parameter of the method
    transductive: bool
    backbone: dict[str, Any]
    images: Annotated[dict[str, Any], AfterValidator(_check_images)]  # size, channels, mean, std
    training: Text  # hash of the training
    train_sources: list[Text]  # none: it was not trained here
    train_shot: Number | None  # None: trained without episodes
    train_seed: Seed
    training_fraction: Annotated[float, Field(gt=0, le=1)]  # 1: the length that the suite states
    source: Text  # the test source
    pack: Text  # its digest
    partial: LongText | None
    split: Text
    way: Number | None  # None: way, shot and queries vary from episode to episode; beside a shot: all classes
    shot: Number | None
    queries: Number | None  # per class
    episodes: Count
    episode_seed: Seed
    sampler: Text
    episode_set: Text  # SHA-256 of what the episodes show, as `fsbench.episodes.content` has it
    deterministic: bool
    # Later fields: while they have their default they do not enter the hash, so that older records keep their names.
    tracks: Literal["apart", "shared", "unknown"] | None = None  # of support and query; None: a source without tracks
    classes_left_out: Count = 0  # of the split, having too few images
    initialised_from: Text | None = None  # the row whose backbone the training started from
    engine: Count | None = None  # the revision of training and evaluation
    backbone_revision: Count | Text | None = None

    @property
    def but_for_seed(self) -> dict[str, Any]:
        """What the cells of one recipe have in common, whatever their training seed, on the same episodes."""
        return self.model_dump(mode="json", exclude={"training", "train_seed"})

    @property
    def by_content(self) -> bool:
        """Whether `episode_set` tells what the episodes show, at whatever size of the images."""
        return self.engine is not None


def cell_id(identity: CellIdentity) -> str:
    """SHA-256 of a cell's identity.

    The keys are written out: they are those of the first records, whatever the attributes are called now. What
    came later enters only where it is not what was before it came, so that no older record loses its name.
    """
    content = {
        "suite": identity.suite,
        "row": identity.row,
        "method": identity.method,
        "method_revision": identity.method_revision,
        "params": identity.params,
        "transductive": identity.transductive,
        "backbone": identity.backbone,
        "images": identity.images,
        "training": identity.training,
        "train_sources": identity.train_sources,
        "train_shot": identity.train_shot,
        "train_seed": identity.train_seed,
        "training_fraction": identity.training_fraction,
        "source": identity.source,
        "pack": identity.pack,
        "partial": identity.partial,
        "split": identity.split,
        "way": identity.way,
        "shot": identity.shot,
        "queries": identity.queries,
        "episodes": identity.episodes,
        "episode_seed": identity.episode_seed,
        "sampler": identity.sampler,
        "episode_set": identity.episode_set,
        "deterministic": identity.deterministic,
    }
    later = {
        "tracks": (identity.tracks, None),
        "classes_left_out": (identity.classes_left_out, 0),
        "initialised_from": (identity.initialised_from, None),
        "engine": (identity.engine, None),
        "backbone_revision": (identity.backbone_revision, None),
    }
    return sha256_json(content | {key: value for key, (value, before) in later.items() if value != before})
