"""An evaluation that is stopped goes on with the first episode that has no answer, and ends with the same counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fsbench.engine import tally
from fsbench.engine.checkpoints import load_checkpoint, save_checkpoint
from fsbench.engine.evaluation import _AtOnce, correct_counts
from fsbench.engine.store import ImageStore
from fsbench.engine.tally import Tally
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.protocol import AnyEpisodes
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.variable import VariableProtocol
from fsbench.methods.base import Method
from fsbench.tasks import Tasks
from helpers.small import write_small_pack

NUMBER = 17  # of episodes
OF = {"cell": "a", "environment": {"threads": 2, "cuda": None}}


class Brightness(Method):
    """Answers by the brightness of a query alone, until it is to be interrupted; knows what it was asked."""

    label = "Brightness"

    def __init__(self, interrupted_after: int | None = None) -> None:
        super().__init__()
        self.asked: list[int] = []
        self._left = interrupted_after

    def loss(self, data: Tasks) -> Tensor:
        return data.support.sum()

    def predict(self, tasks: Tasks) -> Tensor:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1
        self.asked.append(len(tasks))
        classes = (1e4 * tasks.query.mean((-3, -2, -1))).long() % tasks.way
        return torch.nn.functional.one_hot(classes, tasks.way).float()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    pack = write_small_pack(tmp_path_factory.mktemp("pack"))
    return ImageStore(pack, "test", torch.device("cpu"), [0.2], [0.4])


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "SECONDS_A_SAVE", 0.0)


def draw(store: ImageStore, *, variable: bool = False) -> AnyEpisodes:
    protocol = VariableProtocol("test", NUMBER, 0) if variable else FixedProtocol("test", 5, 1, 4, NUMBER, 0)
    return Sampler(store.pack, protocol, Rules()).draw()


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("variable", [False, True], ids=["fixed", "variable"])
@pytest.mark.parametrize("stops", [[1, 1, 5], [NUMBER - 1], [0, 3], [NUMBER]], ids=str)
def test_every_episode_is_answered_once(stops: list[int], variable: bool, store: ImageStore, tmp_path: Path) -> None:
    episodes, path = draw(store, variable=variable), tmp_path / "a.tally"
    expected = correct_counts(Brightness(), store, episodes).tolist()
    assert len(set(expected)) > 1
    methods, told = [*map(Brightness, stops), Brightness()], list[int]()
    for stop, method in enumerate(methods):
        kept = Tally(path, OF, told.append)
        assert kept.counts == expected[: sum(stops[:stop])]
        if sum(stops[: stop + 1]) < NUMBER and stop < len(stops):
            with pytest.raises(KeyboardInterrupt):
                correct_counts(method, store, episodes, None, kept)
        else:
            assert correct_counts(method, store, episodes, None, kept).tolist() == expected
    assert sum(sum(method.asked) for method in methods) == NUMBER
    assert told == list(range(1, NUMBER + 1))
    kept.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_often")
def test_a_gpu_goes_on_in_slices_of_the_same_shape(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsbench.engine.evaluation._on_gpu", lambda _: True)
    monkeypatch.setattr(
        "fsbench.engine.evaluation._ON_GPU", _AtOnce(pixels=1 << 22, adapted=1 << 24, numbers=1 << 28, tasks=4)
    )
    first, second, path = Brightness(2), Brightness(), tmp_path / "a.tally"
    expected = correct_counts(Brightness(), store, draw(store)).tolist()
    with pytest.raises(KeyboardInterrupt):
        correct_counts(first, store, draw(store), None, Tally(path, OF))
    assert correct_counts(second, store, draw(store), None, Tally(path, OF)).tolist() == expected
    assert first.asked + second.asked == [4, 4, 4, 4, 4]  # the last one does three again


@pytest.mark.usefixtures("_often")
def test_the_seconds_of_all_parts_are_known(store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "a.tally"
    before = 0.0
    for _ in range(3):
        kept = Tally(path, OF)
        assert kept.seconds == before
        with pytest.raises(KeyboardInterrupt):
            correct_counts(Brightness(2), store, draw(store), None, kept)
        after = Tally(path, OF).seconds
        assert after > before
        before = after


def test_what_takes_less_than_two_minutes_is_not_written(store: ImageStore, tmp_path: Path) -> None:
    correct_counts(Brightness(), store, draw(store), None, Tally(tmp_path / "a.tally", OF))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize(
    "other",
    [OF | {"cell": "b"}, OF | {"environment": {"threads": 1, "cuda": None}}, {"cell": "a"}],
    ids=["another cell", "another machine", "less"],
)
def test_the_answers_of_something_else_count_for_nothing(
    other: dict[str, object], store: ImageStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tally"
    correct_counts(Brightness(), store, draw(store), None, Tally(path, OF))
    assert len(Tally(path, OF).counts) == NUMBER
    kept = Tally(path, other)
    assert (kept.counts, kept.seconds, caplog.messages) == ([], 0.0, [])


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("damage", ["cut", "a negative time", "no counts", "halves"])
def test_a_damaged_file_counts_for_nothing_and_is_named(
    damage: str, store: ImageStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tally"
    expected = correct_counts(Brightness(), store, draw(store), None, Tally(path, OF)).tolist()
    header = (load_checkpoint(path) or ({}, {}))[1]
    strange = {"a negative time": {"seconds": -1.0}, "no counts": {"counts": None}, "halves": {"counts": [0.5]}}
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        save_checkpoint(path, {}, header | strange[damage])
    method = Brightness()
    assert correct_counts(method, store, draw(store), None, Tally(path, OF)).tolist() == expected
    assert sum(method.asked) == NUMBER
    assert caplog.messages == [f"{path} is damaged; the episodes that it counted are answered again."]
    assert Tally(path, OF).counts == expected
