"""How a suite names a backbone: one to train, or one trained elsewhere, with what builds it and what it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PositiveFloat, Strict, ValidationError, model_validator

from fsbench.errors import UsageError, first_problem
from fsbench.files.strict import LongText, StrictModel, Text

__all__ = ["FEATURES", "BackboneSpec", "InputSpec", "PretrainedSpec", "described", "given_backbone"]

_LIBRARIES: Final = ("timm:", "torchvision:", "open_clip:")
FEATURES: Final = "features"  # what builds a backbone that is known by its features alone


class BackboneSpec(StrictModel):
    """The backbone of a row, or of all rows of a suite that name none."""

    name: LongText  # of fsbench or an installed package, or path/to/file.py:Class
    width: Annotated[int, Field(ge=1, le=4096)]  # filters of the first convolution
    norm_scale: Literal["ones", "uniform"] = "ones"  # initial weights of batch normalisation
    depth: Annotated[int, Field(ge=1, le=1000)] | None = None  # layers, of backbones of several depths; none: the usual
    drop_rate: Annotated[float, Field(gt=0, lt=1)] | None = None  # of dropout, for backbones that have it; none: none
    avg_pool: bool | None = None  # means over the last maps, for backbones that can leave them whole; none: the usual

    @property
    def options(self) -> dict[str, int | float | bool]:
        """What not every backbone takes, where it is given."""
        given = {"depth": self.depth, "drop_rate": self.drop_rate, "avg_pool": self.avg_pool}
        return {name: value for name, value in given.items() if value is not None}

    def identity(self) -> dict[str, Any]:
        """What of it enters identities; a later field does only when it is not what was before it came."""
        later = {} if self.norm_scale == "ones" else {"norm_scale": self.norm_scale}
        return {"name": self.name, "width": self.width} | later | self.options

    def has_weights_of(self, other: BackboneSpec) -> bool:
        """Whether the weights of either fit the other: they differ at most in what has no weights."""
        without = {"avg_pool": None, "drop_rate": None}
        return self.model_copy(update=without) == other.model_copy(update=without)


class InputSpec(StrictModel):
    """What a pretrained backbone sees, where it is not what its weights were trained with."""

    size: Annotated[int, Field(ge=8, le=1024)] | None = None  # height and width, pixels
    mean: Annotated[tuple[float, float, float], Strict(False)] | None = None  # of every channel, on the scale 0 to 1
    std: Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], Strict(False)] | None = None
    enlarged_from: Annotated[int, Field(ge=8, le=1024)] | None = None  # images are prepared at this size, then enlarged

    @model_validator(mode="after")
    def _enlarges(self) -> InputSpec:
        if self.enlarged_from is not None and self.size is not None and self.enlarged_from >= self.size:
            raise ValueError(f"enlarged_from is {self.enlarged_from}, no less than the size of {self.size}")
        return self


class PretrainedSpec(StrictModel):
    """A backbone that is trained elsewhere and frozen here."""

    # timm:NAME[.tag], torchvision:NAME, open_clip:NAME[.tag], file.py:Class, a name, or "features" for those in files.
    build: Annotated[LongText, Field(min_length=1)]
    files: Annotated[list[LongText], Field(min_length=1, max_length=1000)] | None = None  # of features, one a source
    weights: LongText | None = None  # a file, or package:MODULE/PATH in an installed package; none: the class has them
    download: bool = False  # the weights of the tag, by the library that has the architecture
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None  # of the tensors, as records have it
    match: Literal["names", "order"] = "names"  # which tensor of the file is which of the model
    features: Literal["pooled", "cls", "cls+mean"] = "pooled"  # cls: the class token; mean: of the other tokens
    width: Annotated[int, Field(ge=1, le=4096)] = 64  # of a backbone of fsbench
    images: InputSpec = InputSpec()
    # Corpora; none: as the tag of timm says.
    pretrained_on: Annotated[list[Text], Field(min_length=1, max_length=50)] | None = None
    label: Annotated[str, Field(min_length=1, max_length=60)] | None = None  # in tables; none: the builder's name

    @model_validator(mode="after")
    def _has_files_or_builds(self) -> PretrainedSpec:
        if (self.build == FEATURES) != (self.files is not None):
            raise ValueError(f"files belong to build = {FEATURES!r}, and to no other; build is {self.build!r}")
        of_network = ("weights", "download", "sha256", "match", "features", "width", "images")
        given = [name for name in of_network if getattr(self, name) != type(self).model_fields[name].default]
        if self.files is not None and given:
            raise ValueError(f"{given[0]} is of a network, and files of features come without one; leave it out")
        if self.download and (self.weights is not None or not self.build.startswith(_LIBRARIES)):
            raise ValueError(
                f"download is for weights that one of {', '.join(_LIBRARIES)} names, without a file of them; build is "
                f"{self.build!r}"
            )
        return self


def given_backbone(
    backbone: str | None, weights: str | None, features: Sequence[str], *, download: bool = False
) -> PretrainedSpec | None:
    """What a command line says of a backbone that was trained elsewhere; None: nothing.

    Args:
        backbone: One of timm, torchvision or open_clip, or one with weights; any other is to be trained here.
        weights: Its file.
        features: Files of features instead.
        download: Its weights, by its library.

    Raises:
        UsageError: Weights are given without a backbone, features beside one, or what is to be downloaded is not said.
    """
    if download and (weights or features or not (backbone or "").startswith(_LIBRARIES)):
        given = weights or ", ".join(features) or backbone
        raise UsageError(
            f"--download is for a backbone of {', '.join(_LIBRARIES)} without a file; "
            + (f"it is not for {given}." if given else "say which: --backbone timm:NAME.tag.")
        )
    if features and (backbone or weights):
        raise UsageError(f"the features {features[0]} stand for a backbone; leave --backbone and --weights out.")
    if backbone is None and weights is not None:
        raise UsageError(f"the weights {weights} are given without a backbone; use --backbone timm:NAME.")
    if features:
        return described(build=FEATURES, files=list(features))
    if backbone is not None and (weights is not None or backbone.startswith(_LIBRARIES)):
        return described(build=backbone, weights=weights, download=download)
    return None


def described(**facts: Any) -> PretrainedSpec:
    """A backbone from elsewhere, as somebody has described it outside of a suite.

    Raises:
        UsageError: Something in it does not fit.
    """
    try:
        return PretrainedSpec(**facts)
    except ValidationError as error:
        raise UsageError(
            f"the backbone {facts['build']!r:.80} cannot be used ({first_problem(error)}); see docs/pretrained.md."
        ) from error
