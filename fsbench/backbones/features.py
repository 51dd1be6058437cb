"""Features in files: what any model, in any framework, makes of the images of a source.

A file of safetensors with one tensor, `features` `[N, D]`, and in its metadata under "fsbench" a JSON object:

source      the source, as suites name it
images      for every line of the tensor the class and the name of the image, as its pack has them
sha256      of the tensor's bytes
label       of the model, in tables
corpora     what it was pretrained on; empty: unknown
made_with   free words: library, version, pack
fingerprint of the features, if fsbench wrote the file; else empty
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import torch
from pydantic import Field, Strict, StringConstraints, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fsbench.errors import DataError, DataNotFoundError, SuiteError, first_problem
from fsbench.files.atomic import canonical_json, write_atomic
from fsbench.files.reading import read_bytes
from fsbench.files.strict import LongText, StrictModel, Text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FeatureFile", "FeatureHead", "check_name", "read_features", "write_features"]

_KEY: Final = "fsbench"
_LARGEST: Final = 2**34  # bytes
_TYPES: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_Compared: TypeAlias = Annotated[str, StringConstraints(max_length=2000)]  # with the names of a pack; never printed


class FeatureHead(StrictModel):
    """What a file of features says of itself."""

    source: Text
    images: Annotated[list[Annotated[tuple[_Compared, _Compared], Strict(False)]], Field(min_length=1)]
    sha256: Text
    label: Annotated[Text, Field(min_length=1)]
    corpora: list[Text] = Field(default_factory=list)
    made_with: LongText = ""
    fingerprint: list[float] = Field(default_factory=list)


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """A file of features, read and checked.

    Attributes:
        path: Where it lies.
        head: What it says of itself.
        features: float32 `[N, D]`.
    """

    path: Path
    head: FeatureHead
    features: Tensor

    @property
    def identity(self) -> str:
        """SHA-256 of its numbers and of the images that they are of."""
        return sha256(canonical_json([self.head.sha256, self.head.source, self.head.images])).hexdigest()

    def of(self, classes: Sequence[str], names: npt.NDArray[np.str_]) -> Tensor:
        """The features of some images, float32 `[M, D]`.

        Args:
            classes: Their classes.
            names: Their names in the pack `[M]`.

        Raises:
            DataError: The file has none of some of them.
        """
        rows = {image: row for row, image in enumerate(self.head.images)}
        wanted = list(zip(classes, names.tolist(), strict=True))
        missing = [image for image in wanted if image not in rows]
        if missing:
            raise DataError(
                f"{self.path} has no features of {len(missing):,} of the {len(wanted):,} images of {self.head.source} "
                f"that the episodes show, as {missing[0][1]!r:.80} of the class {missing[0][0]!r:.80}; embed them too: "
                "test classes by `fsbench embed --split test`, validation classes by `--split val`."
            )
        return self.features[[rows[image] for image in wanted]]


def read_features(path: Path) -> FeatureFile:
    """Read a file of features.

    Raises:
        DataNotFoundError: There is none.
        DataError: It is damaged, or no such file.
    """
    try:
        data = read_bytes(path, _LARGEST)
        tensors = load(data)  # which sees that there is such a head
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        head = FeatureHead.model_validate_json(metadata[_KEY])
        features = tensors["features"]
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"there are no features in {path}; write them with `fsbench embed SOURCE --backbone NAME --out {path}`."
        ) from error
    except ValidationError as error:
        raise DataError(f"the features {path} cannot be used ({first_problem(error)}); write them again.") from error
    except KeyError as error:
        raise DataError(
            f"{path} holds no features for fsbench (it has no {error.args[0]!r}); see docs/pretrained.md."
        ) from error
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"the features {path} cannot be read ({error}); write them again.") from error
    if features.dtype not in _TYPES or features.ndim != 2 or len(features) != len(head.images) or not features.numel():
        raise DataError(
            f"{path} has features of the type {features.dtype} and shape {tuple(features.shape)} for "
            f"{len(head.images):,} images; they must be floating-point numbers, a line for every image."
        )
    if _digest(features) != head.sha256:
        raise DataError(f"the features {path} are damaged (their hash does not fit); write them again.")
    if len(set(head.images)) < len(head.images):
        raise DataError(f"{path} has an image twice; write its features again.")
    if not torch.stack(features.float().aminmax()).isfinite().all():  # one of them is not if any is not
        raise DataError(f"{path} has features that are not finite; write them again.")
    return FeatureFile(path, head, features.float())


def write_features(
    path: Path,
    features: Tensor,
    *,
    source: str,
    images: Iterable[tuple[str, str]],
    label: str,
    corpora: Sequence[str] = (),
    made_with: str = "",
    fingerprint: Sequence[float] = (),
) -> None:
    """Write a file of features in one step.

    Args:
        path: Where.
        features: `[N, D]`.
        source: Of the images.
        images: Class and name of every image, `[N]`.
        label: Of the model.
        corpora: What it was pretrained on.
        made_with: Free words.
        fingerprint: Of its features, or empty.

    Raises:
        SuiteError: The file would not end in ".safetensors".
        OutputError: The folder cannot be written.
    """
    check_name(path)
    plain = features.detach().cpu().contiguous()
    head = FeatureHead(
        source=source,
        images=list(images),
        sha256=_digest(plain),
        label=label,
        corpora=list(corpora),
        made_with=made_with,
        fingerprint=list(fingerprint),
    )
    write_atomic(path, save({"features": plain}, metadata={_KEY: head.model_dump_json()}))


def check_name(path: Path) -> None:
    """Check that a file of features may be called so.

    Raises:
        SuiteError: Its name does not end in ".safetensors".
    """
    if path.suffix != ".safetensors":
        raise SuiteError(f"features are written as safetensors, not as {path.name}; end the name in .safetensors.")


def _digest(features: Tensor) -> str:
    return sha256(features.contiguous().view(-1).view(torch.uint8).numpy().data).hexdigest()
