"""How a suite says that a backbone is trained elsewhere: what builds it, where its weights are, what it was shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from fsbench.files.strict import LongText, StrictModel, Text

__all__ = ["InputSpec", "PretrainedSpec"]


class InputSpec(StrictModel):
    """What a pretrained backbone sees, where it is not what its weights were trained with."""

    size: Annotated[int, Field(ge=8, le=1024)] | None = None  # height and width, pixels
    mean: tuple[float, float, float] | None = None  # of every channel, on the scale 0 to 1
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    enlarged_from: Annotated[int, Field(ge=8, le=1024)] | None = None  # images are prepared at this size, then enlarged

    @model_validator(mode="after")
    def _enlarges(self) -> InputSpec:
        if self.enlarged_from is not None and self.size is not None and self.enlarged_from >= self.size:
            raise ValueError(f"enlarged_from is {self.enlarged_from}, no less than the size of {self.size}")
        return self


class PretrainedSpec(StrictModel):
    """A backbone that is trained elsewhere and frozen here."""

    build: Annotated[LongText, Field(min_length=1)]  # timm:NAME[.tag], torchvision:NAME, file.py:Class, or a name
    weights: LongText | None = None  # a file, or package:MODULE/PATH in an installed package; none: the class has them
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None  # of the tensors, as records have it
    match: Literal["names", "order"] = "names"  # which tensor of the file is which of the model
    features: Literal["pooled", "cls", "cls+mean"] = "pooled"  # cls: the class token; mean: of the other tokens
    width: Annotated[int, Field(ge=1, le=4096)] = 64  # of a backbone of fsbench
    images: InputSpec = InputSpec()
    # Corpora; none: as the tag of timm says.
    pretrained_on: Annotated[list[Text], Field(min_length=1, max_length=50)] | None = None
    label: Annotated[str, Field(min_length=1, max_length=60)] | None = None  # in tables; none: the builder's name
