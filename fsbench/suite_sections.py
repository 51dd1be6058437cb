"""The sections of a suite file, but its rows and backbones."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, Strict, field_validator, model_validator

from fsbench.episodes.sampler import Rules
from fsbench.files.strict import Number, Seed, StrictModel, Text

__all__ = ["MOST_EPISODES", "EpisodeSpec", "ImageSpec", "Sources", "ValidationSpec"]

MOST_EPISODES: Final = 100_000  # drawn in half a gigabyte; their interval is a thirteenth of that of 600


def _each_once(given: list[Any]) -> list[Any]:
    for value in given:
        if given.count(value) > 1:
            raise ValueError(f"{value!r} stands there twice")
    return given


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


class ImageSpec(StrictModel):
    """What a method sees: square images, normalised on the scale 0 to 1."""

    size: Annotated[int, Field(ge=1, le=1024)]
    channels: Literal[1, 3]
    mean: Annotated[tuple[float, ...], Strict(False)]
    std: Annotated[tuple[PositiveFloat, ...], Strict(False)]

    def identity(self) -> dict[str, Any]:
        """What of it enters identities."""
        return {"size": self.size, "channels": self.channels, "mean": list(self.mean), "std": list(self.std)}

    @model_validator(mode="after")
    def _one_for_every_channel(self) -> ImageSpec:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} values, one for every channel")
        return self


class Sources(StrictModel):
    """Where the images come from: source references, e.g. "omniglot" or "omniglot:original"."""

    train: Annotated[list[Text], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = Field(
        min_length=1
    )  # several: for every episode, or every image of a batch, one is drawn uniformly
    validation: Text | None = None  # the source of the validation episodes; none: the first to train on
    test: Annotated[list[Text], Field(min_length=1)]
    absent: Literal["error", "leave out"] = "error"  # what happens to a source whose files are not there

    _once = field_validator("train", "test")(_each_once)


class EpisodeSpec(StrictModel):
    """The test episodes, and what holds for all episodes."""

    way: Annotated[Number, Field(ge=2)]
    shots: Annotated[list[Number], Field(min_length=1)]
    queries: Number  # per class
    number: Annotated[int, Field(ge=2, le=MOST_EPISODES)]  # one episode has no interval
    seed: Seed
    small_classes: Literal["error", "leave out"] = "error"  # those with too few images for shot + queries
    tracks: Literal["apart", "shared"] = "apart"  # whether support and query may show the same object

    _once = field_validator("shots")(_each_once)

    @property
    def rules(self) -> Rules:
        """What samplers need to know of it."""
        return Rules(leave_out=self.small_classes == "leave out", tracks_apart=self.tracks == "apart")


class ValidationSpec(StrictModel):
    """The validation episodes.

    They have the suite's way and queries and the training's shot, 1 where it has none; all of these vary under the
    protocol "variable".
    """

    number: Annotated[int, Field(ge=1, le=MOST_EPISODES)]
    seed: Seed
