"""From the rows of a suite to models: the classes of their methods, checked, and their initial weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch

from fsbench.backbones.registry import build_backbone
from fsbench.methods.base import Method
from fsbench.methods.registry import check_row, load_method
from fsbench.suite import BackboneSpec, Suite

__all__ = ["build_model", "load_methods"]


def load_methods(suite: Suite, rows: Sequence[str]) -> dict[str, type[Method]]:
    """The classes, by name, of all methods that some rows need: their own, and those whose trainings they use.

    Raises:
        UsageError: There is no such method, or it has no such hyper-parameter.
        SuiteError: A row lacks a hyper-parameter, or its method cannot learn from its kind of training.
    """
    trained = [suite.trained_as(row) for row in rows]
    needed = dict.fromkeys([*rows, *trained, *(start for row in trained if (start := suite.methods[row].start))])
    methods = {suite.methods[row].method: load_method(suite.methods[row].method) for row in needed}
    for row in needed:
        check_row(row, suite.methods[row], methods[suite.methods[row].method])
    return methods


def build_model(
    suite: Suite,
    backbone: BackboneSpec,
    method: type[Method],
    params: Mapping[str, object],
    *,
    classes: int,
    seed: int,
    device: torch.device,
) -> Method:
    """A model with its initial weights, on a device; no other random state is touched.

    Args:
        suite: Says the images.
        backbone: That of its row.
        method: Its class.
        params: Its hyper-parameters.
        classes: Training classes, of all sources together.
        seed: Of the weights.
        device: Where it will compute.

    Raises:
        SuiteError: The method cannot use such a backbone or such images.
    """
    make_backbone = functools.partial(
        build_backbone,
        backbone.name,
        channels=suite.images.channels,
        size=suite.images.size,
        width=backbone.width,
        norm_scale=backbone.norm_scale,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = method(make_backbone, classes, **params)
    return model.to(device).to(memory_format=torch.channels_last)
