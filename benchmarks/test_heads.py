"""Finetuned heads: many episodes' heads trained side by side in closed form, beside `torch.optim.SGD` head by head."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fsbench.engine.evaluation import correct_counts
from fsbench.engine.store import ImageStore
from fsbench.engine.transfer import send
from fsbench.methods.finetune import Finetune
from helpers.plain import plain_finetune
from made import MINIIMAGENET, OMNIGLOT, Shape, draw, method, store

if TYPE_CHECKING:
    from conftest import Beside

EPISODES, PEER_EPISODES = 600, 5


@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize("shape", [OMNIGLOT, MINIIMAGENET], ids=str)
def test_heads(shape: Shape, shot: int, tmp_path: Path, beside: Beside) -> None:
    images, finetune = store(tmp_path, shape), method("finetune", shape)
    assert isinstance(finetune, Finetune)
    features = made_features(images, finetune.backbone.features)
    episodes = draw(images, EPISODES, shot)
    some = episodes[:PEER_EPISODES]
    labels, truth = send([some.support_labels, some.query_labels], images.device)
    train_head = partial(
        plain_finetune,
        way=episodes.way,
        steps=finetune.steps,
        rate=finetune.rate,
        momentum=finetune.momentum,
        dampening=finetune.dampening,
        weight_decay=finetune.weight_decay,
    )

    def one_by_one(features: Tensor) -> Tensor:
        tasks = zip(features[some.support_images], labels, features[some.query_images], strict=True)
        return torch.stack([train_head(*task) for task in tasks])

    def peer() -> npt.NDArray[np.int64]:
        return (one_by_one(features).argmax(-1) == truth).sum(-1).numpy()

    def agree(ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64]) -> None:
        assert ours[:PEER_EPISODES].tolist() == theirs.tolist()
        assert ours.std() > 0, "all right, or always the same class: that would prove little"
        for precise in (features, features.double()):
            support, query = precise[some.support_images], precise[some.query_images]
            side_by_side, alone = finetune.compare(support, labels, query, episodes.way), one_by_one(precise)
            assert torch.equal(side_by_side.argmax(-1), alone.argmax(-1))
        torch.testing.assert_close(side_by_side, alone, rtol=0, atol=1e-9)

    beside(
        "heads",
        f"{finetune.steps} steps, {features.shape[1]} features, 5-way {shot}-shot",
        ours=partial(correct_counts, finetune, images, episodes, features),
        peer=peer,
        peer_name="torch.optim.SGD, a head at a time",
        agree=agree,
        unit="episodes/s",
        our_work=EPISODES,
        their_work=PEER_EPISODES,
        target=50,
        note=f"the peer did {PEER_EPISODES} of {EPISODES} episodes, scaled; equal to 1e-9 in float64",
    )


def made_features(images: ImageStore, size: int) -> Tensor:
    """Features of length one for every image, around a centre of their class."""
    noise = 1.5 * size**0.25  # about as hard to classify at every size
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(images.classes, 1, size, generator=generator)
    around = torch.randn(images.classes, len(images.indices) // images.classes, size, generator=generator)
    return F.normalize((centres + noise * around).flatten(0, 1), dim=-1)
