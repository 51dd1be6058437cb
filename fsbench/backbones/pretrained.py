"""Backbones that were trained elsewhere: frozen, with what identifies their features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.builders import build_network
from fsbench.backbones.corpora import corpora_of
from fsbench.backbones.features import FeatureFile, read_features
from fsbench.backbones.fingerprint import fingerprint_of, probed
from fsbench.backbones.specification import PretrainedSpec
from fsbench.backbones.weights import find_weights, load_into, locate, read_tensors, weights_digest
from fsbench.errors import SuiteError

__all__ = ["FrozenBackbone", "Pretrained", "load_pretrained"]


class FrozenBackbone(Backbone):
    """A network whose weights nothing changes, in evaluation mode whatever it is told.

    Args:
        module: The network.
        embed: From images `[N, 3, H, W]` to features `[N, D]`.
        label: In tables.
        features: D.
    """

    def __init__(self, module: nn.Module, embed: Callable[[Tensor], Tensor], label: str, features: int) -> None:
        super().__init__()
        self.module = module.requires_grad_(False)
        self._embed = (embed,)  # in a tuple, so that it is no second name of the network
        self.label, self.features, self.shape = label, features, (features, 1, 1)
        self.eval()

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def forward(self, images: Tensor, leading: int | None = None) -> Tensor:
        """Features `[N, D]` of `images` `[N, 3, H, W]`.

        Raises:
            SuiteError: Statistics of the support set are asked for.
        """
        if leading is not None:
            raise SuiteError(
                f"{self.label} is frozen and cannot be normalised by a support set; choose another method."
            )
        return self._embed[0](images)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A backbone that was trained elsewhere, loaded.

    Attributes:
        name: What the suite calls it.
        network: It, frozen.
        build: What identifies its architecture.
        weights: SHA-256 of its tensors.
        kind: Of the features.
        size: Of the images that it sees, pixels; None where its features are in files.
        mean: Of every channel, on the scale 0 to 1.
        std: The same.
        enlarged_from: The size at which the images are prepared, if they are enlarged; else None.
        tag: What its builder calls the weights.
        library: Name and version of where it is from; empty: a file.
        fingerprint: Of its features, as in `fingerprints_agree`.
        corpora: What it was pretrained on; empty: unknown.
        revision: Of a class of fsbench or of a file: what tells it from its earlier versions.
        files: Its features of every source, where they are in files; else empty.
        largest: Numbers of the largest map that it makes of an image; 0: it makes none.
    """

    name: str
    network: FrozenBackbone
    build: str
    weights: str
    kind: str
    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    enlarged_from: int | None
    tag: str
    library: str
    fingerprint: tuple[float, ...]
    corpora: tuple[str, ...]
    revision: int | str | None
    files: Mapping[str, FeatureFile] = field(default_factory=dict)
    largest: int = 0

    @property
    def prepared_size(self) -> int | None:
        """Height and width at which the images are prepared, pixels; None: as the suite says."""
        return self.enlarged_from or self.size

    @property
    def parameters(self) -> int:
        """Its numbers that a training once adjusted."""
        return sum(weight.numel() for weight in self.network.parameters())

    def of(self, source: str) -> Pretrained:
        """What of it matters for a test source: of features in files, those of this source alone.

        So a cell is the same whatever other files a run has.
        """
        if source not in self.files:
            return self
        file = self.files[source]
        return replace(
            self,
            weights=file.identity,
            library=file.head.made_with,
            fingerprint=tuple(file.head.fingerprint),
            files={source: file},
        )

    def identity(self) -> dict[str, Any]:
        """What of it enters identities: architecture, weights, kind of features, what it was shown."""
        return {
            "name": self.build,
            "weights": self.weights,
            "features": self.kind,
            "pretrained_on": sorted(self.corpora) or ["unknown"],
        }

    def images_identity(self) -> dict[str, Any]:
        """What of its images enters identities, in the form of the suite's `ImageSpec.identity`; of files nothing."""
        if self.size is None:
            return {}
        content = {"size": self.size, "channels": 3, "mean": list(self.mean), "std": list(self.std)}
        return content if self.enlarged_from is None else content | {"enlarged_from": self.enlarged_from}


def load_pretrained(name: str, spec: PretrainedSpec, beside: Path | None = None) -> Pretrained:
    """Build a backbone and load its weights.

    Args:
        name: What the suite calls it.
        spec: What the suite says of it.
        beside: The folder in which a relative path is looked for before the working folder.

    Raises:
        UsageError: There is no such network or library.
        DataNotFoundError: The weights are not there.
        DataError: They are damaged.
        SuiteError: They are of another architecture or not those of the suite's hash, or the network does not give
            features `[N, D]` of such images.
    """
    if spec.files is not None:
        return _from_files(name, spec, spec.files, beside)
    built = build_network(spec, beside)
    if spec.weights is not None:
        path = find_weights(spec.weights, beside)
        load_into(built.module, read_tensors(path), path, match=spec.match, unused=built.classifier)
    elif not built.has_weights:
        raise SuiteError(
            f"backbones.{name} has no weights, and nothing is downloaded unless it is asked for; give it weights = "
            f"FILE, of {spec.build}, or download = true."
        )
    built.behead()
    digest = weights_digest(built.module)
    if spec.sha256 not in (None, digest):
        raise SuiteError(
            f"backbones.{name}.sha256 is {spec.sha256}, but the tensors of {spec.weights or spec.build} have {digest}; "
            "get the right file, or change the hash."
        )
    enlarged_from = spec.images.enlarged_from
    if enlarged_from is not None and enlarged_from >= built.size:
        raise SuiteError(
            f"backbones.{name}.images.enlarged_from is {enlarged_from}, but {spec.build} sees images of {built.size} "
            "pixels; leave it out."
        )
    mean, std = spec.images.mean or built.mean, spec.images.std or built.std
    features, largest = probed(name, spec, built)
    return Pretrained(
        name=name,
        network=FrozenBackbone(built.module, built.embed, spec.label or built.label, features.shape[1]),
        build=built.build,
        weights=digest,
        kind=spec.features,
        size=built.size,
        mean=mean,
        std=std,
        enlarged_from=enlarged_from,
        tag=built.tag,
        library=built.library,
        fingerprint=fingerprint_of(features),
        corpora=tuple(spec.pretrained_on or corpora_of(built.tag)),
        revision=built.revision,
        largest=largest,
    )


def _from_files(name: str, spec: PretrainedSpec, files: Sequence[str], beside: Path | None) -> Pretrained:
    """A backbone that is known by the features of every source alone.

    Raises:
        DataError: A file is damaged.
        SuiteError: The files are not of one model, or two are of one source.
    """
    found: dict[str, FeatureFile] = {}
    for file in files:
        path = locate(file, beside)
        read = read_features(path)
        if read.head.source in found:
            raise SuiteError(
                f"backbones.{name}.files has two files of {read.head.source}, {found[read.head.source].path} and "
                f"{path}; leave one out."
            )
        found[read.head.source] = read
    first = next(iter(found.values()))
    label, width = first.head.label, first.features.shape[1]
    for other in found.values():
        if (other.head.label, other.features.shape[1], other.head.corpora) != (label, width, first.head.corpora):
            raise SuiteError(
                f"{other.path} has {other.features.shape[1]} features of {other.head.label!r}, and {first.path} has "
                f"{width} of {label!r}; give every model a table of its own in backbones."
            )

    def embed(images: Tensor) -> Tensor:
        raise SuiteError(f"{label} is known by its features in files alone, and cannot embed images; name the network.")

    return Pretrained(
        name=name,
        network=FrozenBackbone(nn.Identity(), embed, spec.label or label, width),
        build=spec.build,
        weights=sha256(" ".join(sorted(file.identity for file in found.values())).encode()).hexdigest(),
        kind=spec.features,
        size=None,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        enlarged_from=None,
        tag="",
        library=first.head.made_with,
        fingerprint=tuple(first.head.fingerprint),
        corpora=tuple(spec.pretrained_on or first.head.corpora),
        revision=None,
        files=found,
    )
