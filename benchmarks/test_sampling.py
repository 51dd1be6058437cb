"""Making tasks: drawn, gathered from a pack and normalised; beside a `DataLoader` over files or items in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from fsbench.data.prepared import Prepared, write_pack
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.pool import ClassPool, pool_of
from loaders import ImageFiles, Pixels, Tensors, decode, loader, write_files
from made import MINIIMAGENET, OMNIGLOT, Shape

if TYPE_CHECKING:
    from conftest import Beside

TASKS_A_DRAW = 32  # as in training


@dataclass(frozen=True)
class Case:
    """A source as people have it: `stored` pixels high and wide, in files of a kind; and the ratios to reach."""

    shape: Shape
    shot: int
    stored: int
    kind: str
    targets: dict[str, float]

    def __str__(self) -> str:
        return f"{self.shape}, 5-way {self.shot}-shot"


class Data:
    """The files of a case, and the pack made of them."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        paths, labels = write_files(folder, case.shape, stored=case.stored, kind=case.kind)
        self.files = ImageFiles(paths, labels, case.shape)
        prepared = Prepared(
            images=np.stack([decode(path, case.shape) for path in paths]),
            labels=np.asarray(labels),
            names=[path.name for path in paths],
            classes=[str(label) for label in range(case.shape.classes)],
            splits={"train": range(case.shape.classes)},
            processing={"made": "for benchmarks"},
        )
        channels = case.shape.channels
        pack = write_pack(folder / "pack", "made", prepared)
        self.store = ImageStore(pack, "train", torch.device("cpu"), [0.5] * channels, [0.25] * channels)
        self.protocol = FixedProtocol("train", 5, case.shot, 15, 0, seed=0)
        self.pool = pool_of(pack, "train", at_least=case.shot + 15)

    def draw(self, tasks: int) -> Episodes:
        return draw_episodes(self.pool, self.protocol, 0, tasks)


CASES = [
    Case(
        replace(OMNIGLOT, classes=200),
        1,
        stored=105,
        kind="png",
        targets={"files to decode": 100, "pixels in memory": 10},
    ),
    Case(
        replace(MINIIMAGENET, images=60),
        5,
        stored=84,
        kind="jpg",
        targets={"files to decode": 30, "pixels in memory": 5},
    ),
]


@pytest.fixture(scope="module", params=CASES, ids=str)
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(request.param, tmp_path_factory.mktemp("files"))


@dataclass(frozen=True)
class Way:
    """How the peer has its items: the dataset made of the files, and tasks a round at 28 and at 84 pixels."""

    dataset: Callable[[ImageFiles], ImageFiles]
    tasks: tuple[int, int]


WAYS = {
    "files to decode": Way(lambda files: files, (4, 2)),
    "pixels in memory": Way(Pixels, (20, 8)),
    "finished tensors in memory": Way(Tensors, (40, 16)),
}


@pytest.mark.parametrize("way", WAYS)
def test_tasks(data: Data, way: str, beside: Beside) -> None:
    case, small = data.case, data.case.shape.size == 28
    tasks, theirs = 320 if small else 64, WAYS[way].tasks[0 if small else 1]
    dataset = WAYS[way].dataset(data.files)
    batches = loader(dataset, shot=case.shot, tasks=theirs)

    def ours() -> Any:
        for start in range(0, tasks, TASKS_A_DRAW):
            drawn = draw_episodes(data.pool, data.protocol, start, start + TASKS_A_DRAW)
            *_, last = data.store.stream(drawn, 1)
        return last

    def peer() -> Any:
        *_, last = batches()
        return last

    def agree(ours: Any, theirs: Any) -> None:
        """The same kind of task; and for the same indices the same numbers."""
        support, labels, query, query_labels, _ = theirs
        assert ours.support[0].shape == support.shape
        assert ours.query[0].shape == query.shape
        assert sorted(ours.support_labels[0].tolist()) == sorted(labels.tolist())
        assert sorted(ours.query_labels[0].tolist()) == sorted(query_labels.tolist())
        episodes = data.draw(1)
        expected = torch.stack([dataset[int(index)][0] for index in episodes.query_images[0]])
        torch.testing.assert_close(data.store.tasks(episodes).query[0].contiguous(), expected, rtol=1e-5, atol=1e-5)

    beside(
        "sampling",
        f"{case}, {way}",
        ours=ours,
        peer=peer,
        peer_name="easyfsl's sampler and a DataLoader",
        agree=agree,
        unit="tasks/s",
        our_work=tasks,
        their_work=theirs,
        target=case.targets.get(way),
        note=f"ours from the pack on disk, {tasks} tasks a round; the peer without workers, {theirs} tasks a round",
    )


def test_draw(beside: Beside) -> None:
    """Indices alone, beside one generator an episode and one choice without replacement a class."""
    protocol = FixedProtocol("test", way=5, shot=1, queries=15, episodes=600, seed=0)
    classes, images = 423, 20
    labels = np.arange(classes)
    pool = ClassPool(tuple(map(str, labels)), labels, labels * images, np.full(classes, images))

    def peer() -> Any:
        drawn = []
        for number in range(protocol.episodes):
            generator = np.random.default_rng([protocol.seed, number])
            chosen = generator.choice(classes, protocol.way, replace=False)
            items = [generator.choice(images, protocol.shot + protocol.queries, replace=False) for _ in chosen]
            drawn.append((chosen, items, generator.permutation(protocol.way * protocol.queries)))
        return drawn

    def agree(ours: Episodes, theirs: Any) -> None:
        assert len(ours) == len(theirs)
        for episode, (chosen, items, order) in zip(range(5), theirs, strict=False):
            assert len(set(ours.classes[episode])) == len(set(chosen)) == protocol.way
            assert ours.order[episode].shape == order.shape
            for label, support, query, item in zip(
                ours.classes[episode], ours.support[episode], ours.query[episode], items, strict=True
            ):
                both = {*support, *query}
                assert len(both) == len(set(item)) == protocol.shot + protocol.queries
                assert all(index // images == label for index in both)

    beside(
        "sampling",
        "indices of 600 episodes alone",
        ours=lambda: draw_episodes(pool, protocol),
        peer=peer,
        peer_name="numpy.random.Generator.choice, class by class",
        agree=agree,
        unit="episodes/s",
        our_work=protocol.episodes,
    )
