"""Evaluation of methods that compare features: every image embedded once, beside a forward pass per episode.

One call of ours is a fixed part of a whole evaluation: it embeds that part of the split's images and compares
that part of the episodes, with the features of the whole split in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fsbench.engine.evaluation import correct_counts, embed_split
from fsbench.engine.store import ImageStore
from fsbench.methods.base import FeatureMethod
from made import DISTINCT, MINIIMAGENET, OMNIGLOT, VINYALS, Shape, contiguous, draw, every, method, plain, store

if TYPE_CHECKING:
    from conftest import Beside

TARGETS = {600: 10.0, 10_000: 150.0}


@dataclass(frozen=True)
class Case:
    """A source to evaluate on: one call of ours is 1/`part` of the work, one of the peer's `peer_episodes`."""

    shape: Shape
    shot: int
    part: int
    peer_episodes: int

    def __str__(self) -> str:
        return f"{self.shape}, {self.shot}-shot"


OF_THE_AUTHORS = Case(OMNIGLOT, 1, part=5, peer_episodes=5)
OF_THE_SUITE = Case(VINYALS, 1, part=20, peer_episodes=5)
OF_MINIIMAGENET = Case(MINIIMAGENET, 5, part=100, peer_episodes=1)
ROWS = [
    *product((OF_THE_AUTHORS, OF_MINIIMAGENET), ("proto", "matching", "knn"), TARGETS),
    *product([OF_THE_SUITE], ["proto"], TARGETS),
    *product((OF_THE_AUTHORS, OF_MINIIMAGENET), ["relation"], [600]),
]


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def images(case: Case, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return store(tmp_path_factory.mktemp("pack"), case.shape)


@pytest.mark.parametrize(
    ("case", "name", "number"),
    [pytest.param(*row, marks=[pytest.mark.allocation] if row[1:] == ("proto", 600) else []) for row in ROWS],
    indirect=["case"],
    ids=str,
)
def test_evaluate(name: str, number: int, case: Case, images: ImageStore, beside: Beside) -> None:
    fast, slow = method(name, case.shape), plain(name, case.shape).eval()
    assert isinstance(fast, FeatureMethod)
    copies = case.shape.images // DISTINCT
    features = embed_split(fast, every(copies, images)).repeat_interleave(copies, 0)
    part, episodes = every(case.part, images), draw(images, number // case.part, case.shot)
    tasks = [contiguous(images.tasks(episodes[index : index + 1])) for index in range(case.peer_episodes)]

    def ours() -> npt.NDArray[np.int64]:
        embed_split(fast, part)
        return correct_counts(fast, images, episodes, features)

    @torch.no_grad()
    def peer() -> npt.NDArray[np.int64]:
        return np.array([int((slow.predict(task).argmax(-1) == task.query_labels).sum()) for task in tasks])

    beside(
        "evaluation",
        f"{fast.label}, {number} episodes, {case}",
        ours=ours,
        peer=peer,
        peer_name="a forward pass per episode",
        agree=agree,
        unit="episodes/s",
        our_work=number / case.part,
        their_work=case.peer_episodes,
        target=None if name == "relation" else TARGETS[number],
        note=f"a round of ours embeds 1/{case.part} of {len(images.indices)} images and compares 1/{case.part} of the "
        f"episodes; one of the peer answers {case.peer_episodes}, their images in memory as floats; both are scaled",
    )


def agree(ours: npt.NDArray[np.int64], peer: npt.NDArray[np.int64]) -> None:
    """The same answers, but for one query whose classes may be equally near."""
    assert np.abs(ours[: len(peer)] - peer).sum() <= 1
    assert ours.std() > 0, "all right, or always the same class: that would prove little"
