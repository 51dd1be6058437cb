"""Networks of others by name: from timm, torchvision, an installed package or a file, without weights.

The libraries are imported when they are asked for, and nothing is downloaded.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import torch
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.registry import BACKBONES
from fsbench.backbones.specification import PretrainedSpec
from fsbench.errors import SuiteError, UsageError, unknown
from fsbench.plugins import load_class, revision_of_class

__all__ = ["Built", "build_network"]

_Triple: TypeAlias = tuple[float, float, float]
_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Built:
    """A network as its builder makes it, with no or random weights.

    Attributes:
        module: The network; its classifier, if it has one, is taken away by `behead`.
        embed: From images `[N, 3, H, W]` to features `[N, D]`.
        build: What identifies the architecture: the builder and the name without a tag.
        label: In tables.
        size: Of the images, height and width, pixels.
        mean: Of every channel, on the scale 0 to 1.
        std: The same.
        tag: What the builder calls the weights, as in timm's names; empty: nothing.
        library: Name and version of where it is from; empty: a file.
        classifier: Beginnings of the names of tensors that no feature depends on.
        behead: Take the classifier away; called once, after weights were loaded.
        has_weights: Whether the class brings weights of its own.
        revision: Of a class: what tells it from its earlier versions.
    """

    module: nn.Module
    embed: Callable[[Tensor], Tensor]
    build: str
    label: str
    size: int
    mean: _Triple
    std: _Triple
    tag: str = ""
    library: str = ""
    classifier: tuple[str, ...] = ()
    behead: Callable[[], object] = lambda: None
    has_weights: bool = False
    revision: int | str | None = None


def build_network(spec: PretrainedSpec, beside: Path | None = None) -> Built:
    """Build the network that a suite names; its initial weights are those of seed 0.

    Args:
        spec: What the suite says of it.
        beside: The folder in which a relative path is looked for before the working folder.

    Raises:
        UsageError: There is no such network or library, or it fails when it is built.
        SuiteError: It cannot take images or give features as the suite says.
    """
    kind, _, name = spec.build.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "timm":
            return _timm(spec, name)
        if kind == "torchvision":
            return _torchvision(spec, name)
        return _of_class(spec, beside)


def _timm(spec: PretrainedSpec, name: str) -> Built:
    timm = _library("timm")
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise unknown("model of timm", architecture, timm.list_models())
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise unknown(f"tag of timm's {architecture}", name.partition(".")[2], tags) from None
    facts: dict[str, Any] = {} if config is None else config.to_dict()
    native = facts.get("input_size", (3, 224, 224))[-1]
    size = spec.images.size or native
    others = {"dynamic_img_size": True} if facts.get("fixed_input_size") and size != native else {}
    try:
        module = timm.create_model(architecture, pretrained=False, **others)
    except TypeError as error:
        raise SuiteError(
            f"{spec.build} takes images of {native} pixels, not of {size} ({error}); leave images.size out."
        ) from error

    def behead() -> None:
        module.reset_classifier(0)

    def of_tokens(images: Tensor) -> Tensor:
        tokens: Tensor = module.forward_features(images)
        prefix = getattr(module, "num_prefix_tokens", 0)
        if tokens.ndim != 3 or prefix < 1:
            raise SuiteError(f"{spec.build} has no class token; its features are 'pooled', not {spec.features!r}.")
        parts = [tokens[:, 0]] if spec.features == "cls" else [tokens[:, 0], tokens[:, prefix:].mean(1)]
        return torch.cat(parts, dim=1)

    classifier = facts.get("classifier") or ()
    return Built(
        module=module,
        embed=module if spec.features == "pooled" else of_tokens,
        build=f"timm:{architecture}",
        label=architecture,
        size=size,
        mean=cast("_Triple", tuple(facts.get("mean", _IMAGENET[0]))),
        std=cast("_Triple", tuple(facts.get("std", _IMAGENET[1]))),
        tag=name.partition(".")[2],
        library=f"timm {version('timm')}",
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        behead=behead,
    )


def _torchvision(spec: PretrainedSpec, name: str) -> Built:
    models = _library("torchvision").models
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("model of torchvision", name, known)
    _only_pooled(spec)
    module = models.get_model(name, weights=None)
    last = [part for part, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1:]

    def behead() -> None:
        for part in last:
            above, _, own = part.rpartition(".")
            setattr(module.get_submodule(above), own, nn.Identity())

    transform = models.get_model_weights(name).DEFAULT.transforms()
    return Built(
        module=module,
        embed=module,
        build=f"torchvision:{name}",
        label=name,
        size=spec.images.size or transform.crop_size[0],
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        library=f"torchvision {version('torchvision')}",
        classifier=tuple(last),
        behead=behead,
    )


def _of_class(spec: PretrainedSpec, beside: Path | None) -> Built:
    """A backbone of fsbench, of an installed package or of a file; any other network may be a class of a file too."""
    found = cast("type[nn.Module]", load_class("backbone", spec.build, BACKBONES, "torch.nn:Module", beside))
    _only_pooled(spec)
    size = spec.images.size
    if size is None:
        raise SuiteError(f"{spec.build} does not say for what images its weights were trained; give it images.size.")
    given: dict[str, Any] = {}
    if issubclass(found, Backbone):
        given = {"channels": 3, "size": size, "width": spec.width, "maps": False}
    try:
        inspect.signature(found).bind(**given)
    except TypeError as error:
        wanted = f"takes {', '.join(given)} by keyword" if given else "needs no arguments"
        raise UsageError(
            f"the backbone {spec.build!r} cannot be built ({error}); give it a constructor that {wanted}."
        ) from None
    try:
        module = found(**given)
    except Exception as error:  # somebody else's class raises whatever comes up
        raise UsageError(f"the backbone {spec.build!r} fails when it is built ({error}); mend it.") from error
    name = Path(spec.build).name if ".py:" in spec.build else spec.build
    return Built(
        module=module,
        embed=module,
        build=name,
        label=module.label if isinstance(module, Backbone) else name.rpartition(":")[2],
        size=size,
        mean=_IMAGENET[0],
        std=_IMAGENET[1],
        has_weights=spec.build not in BACKBONES,
        revision=revision_of_class(spec.build, found, getattr(found, "revision", 1), BACKBONES, beside),
    )


def _only_pooled(spec: PretrainedSpec) -> None:
    if spec.features != "pooled":
        raise SuiteError(f"{spec.build} gives its own features only; leave out features = {spec.features!r}.")


def _library(name: str) -> Any:
    """A library of models; what it warns of when it is imported is no business of a run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"backbones called {name}:NAME need {name} ({error}); run `python -m pip install 'fsbench[{name}]'`."
        ) from error
