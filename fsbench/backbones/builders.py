"""Networks of others by name: from timm, torchvision, open_clip, an installed package or a file.

The libraries are imported when they are asked for. Weights are downloaded only where the suite says `download = true`.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.built import IMAGENET, Built, Triple, check_pooled, downloading, library
from fsbench.backbones.clip import build_image_tower
from fsbench.backbones.registry import BACKBONES
from fsbench.backbones.specification import PretrainedSpec
from fsbench.errors import SuiteError, UsageError, unknown
from fsbench.plugins import load_class, revision_of_class

__all__ = ["build_network"]


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
        torch.default_generator.manual_seed(0)  # that of `torch.manual_seed` would reach every GPU
        if kind == "timm":
            return _timm(spec, name)
        if kind == "torchvision":
            return _torchvision(spec, name)
        if kind == "open_clip":
            return build_image_tower(spec, name)
        return _of_class(spec, beside)


def _timm(spec: PretrainedSpec, name: str) -> Built:
    timm = library("timm")
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
        with downloading(spec):
            module = timm.create_model(name if spec.download else architecture, pretrained=spec.download, **others)
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
        mean=cast("Triple", tuple(facts.get("mean", IMAGENET[0]))),
        std=cast("Triple", tuple(facts.get("std", IMAGENET[1]))),
        tag=name.partition(".")[2],
        library=f"timm {version('timm')}",
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        behead=behead,
        has_weights=spec.download,
    )


def _torchvision(spec: PretrainedSpec, name: str) -> Built:
    models = library("torchvision").models
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("model of torchvision", name, known)
    check_pooled(spec)
    with downloading(spec):
        module = models.get_model(name, weights="DEFAULT" if spec.download else None)
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
        has_weights=spec.download,
    )


def _of_class(spec: PretrainedSpec, beside: Path | None) -> Built:
    """A backbone of fsbench, of an installed package or of a file; any other network may be a class of a file too."""
    found = cast("type[nn.Module]", load_class("backbone", spec.build, BACKBONES, "torch.nn:Module", beside))
    check_pooled(spec)
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
        raise UsageError(f"the backbone {spec.build!r} fails when it is built ({error}); fix it.") from error
    name = Path(spec.build).name if ".py:" in spec.build else spec.build
    return Built(
        module=module,
        embed=module,
        build=name,
        label=module.label if isinstance(module, Backbone) else name.rpartition(":")[2],
        size=size,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        has_weights=spec.build not in BACKBONES,
        revision=revision_of_class(spec.build, found, getattr(found, "revision", 1), BACKBONES),
    )
