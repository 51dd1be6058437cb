from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fsbench.backbones.registry import build_backbone
from fsbench.engine import tally, training
from fsbench.engine.checkpoints import load_checkpoint, save_checkpoint
from fsbench.engine.evaluation import correct_counts
from fsbench.engine.schedule import Schedule
from fsbench.engine.statistics import recompute_statistics
from fsbench.engine.steps import Stepper
from fsbench.engine.store import ImageStore
from fsbench.engine.training import train
from fsbench.engine.training_files import load_trained
from fsbench.episodes.fixed import Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.errors import RecordError, TrainingError
from fsbench.methods.base import Method
from fsbench.methods.fomaml import FirstOrderMAML
from fsbench.methods.registry import load_method
from fsbench.records import TrainingSummary
from fsbench.tasks import Tasks
from helpers.schedules import TASKS
from helpers.small import build, write_small_pack

BATCHES = replace(TASKS, protocol=None, size=16)
# Everything at once, with a phase of small images that ends within a span between two looks.
RICH = replace(BATCHES, augment="crop", sizes=((20, 0), (28, 6)), recompute_statistics=40, halve_every=None)
SCHEDULES = {
    "proto": ("proto", TASKS),
    "knn": ("knn", BATCHES),
    "foprotomaml": ("foprotomaml", TASKS),
    "adamw, one cycle": ("proto", replace(TASKS, optimiser="adamw", rate_shape="one-cycle", warm_up=3, clip_value=0.1)),
    "sgd, cosine": ("knn", replace(RICH, optimiser="sgd", momentum=0.9, nesterov=True, rate_shape="cosine")),
    "sgd without momentum, milestones": ("knn", replace(RICH, optimiser="sgd", milestones=(2, 9))),
}


class Data:
    """The small pack's training and validation images, and validation episodes."""

    def __init__(self, folder: Path) -> None:
        self.pack = write_small_pack(folder)
        self.train, self.val = (ImageStore(self.pack, s, torch.device("cpu"), [0.5], [0.5]) for s in ("train", "val"))
        self.episodes: Episodes = draw_episodes(pool_of(self.pack, "val"), FixedProtocol("val", 5, 1, 3, 20, 1))

    def fit(
        self, method: Method, schedule: Schedule, path: Path, stop_at: int | None = None, **more: Any
    ) -> TrainingSummary:
        def watch(step: int, loss: float, accuracy: float | None) -> None:
            if step == stop_at:
                raise KeyboardInterrupt

        return train(method, schedule, [self.train], (self.val, self.episodes), path, watch, **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def stopped(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training of ProtoNet that was stopped after four steps of twelve."""
    path = tmp_path_factory.mktemp("stopped") / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        data.fit(build("proto"), TASKS, path, stop_at=4)
    return path


def laid_out(name: str) -> Method:
    """A method as runs build them: the weights of convolutions have their channels last."""
    return build(name).to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "schedule"), list(SCHEDULES.values()), ids=list(SCHEDULES))
def test_a_stopped_training_ends_as_one_that_was_not(name: str, schedule: Schedule, data: Data, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    expected = data.fit(laid_out(name), schedule, whole)
    for stop_at in (4, 8):
        with pytest.raises(KeyboardInterrupt):
            data.fit(laid_out(name), schedule, parts, stop_at)
        assert load_trained(parts, laid_out(name)) is None
    assert data.fit(laid_out(name), schedule, parts) == expected
    (tensors, header), (others, other) = (load_checkpoint(path) or ({}, {}) for path in (parts, whole))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    assert header["summary"] == other["summary"]
    assert [look.step for look in expected.history] == [4, 8, 12]


@pytest.mark.parametrize(
    ("name", "schedule", "start"),
    [("proto", TASKS, None), ("fomaml", TASKS, "0" * 64), ("knn", replace(RICH, optimiser="adamw"), None)],
    ids=["ProtoNet", "fo-MAML from another", "a classifier"],
)
def test_a_training_that_was_stopped_between_two_looks_goes_on_where_it_was_saved(
    name: str, schedule: Schedule, start: str | None, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    expected = data.fit(laid_out(name), schedule, whole, start=start)
    monkeypatch.setattr(training, "SECONDS_A_SAVE", 0.0)
    monkeypatch.setattr(training, "_SECONDS_A_REPORT", 0.0)
    taken: list[int] = []
    step = Stepper.__call__

    def counted(stepper: Stepper, given: Any, number: int) -> torch.Tensor:
        taken.append(number)
        return step(stepper, given, number)

    monkeypatch.setattr(Stepper, "__call__", counted)
    for stop_at in (2, 3, 7):
        with pytest.raises(KeyboardInterrupt):
            data.fit(laid_out(name), schedule, parts, stop_at, start=start)
    assert data.fit(laid_out(name), schedule, parts, start=start) == expected
    assert taken == list(range(12))
    (tensors, _), (others, _) = (load_checkpoint(path) or ({}, {}) for path in (parts, whole))
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def test_a_training_that_was_stopped_in_a_look_goes_on_in_it(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers every validation episode once."""
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    expected = data.fit(laid_out("fomaml"), TASKS, whole, start="0" * 64)
    monkeypatch.setattr(training, "SECONDS_A_SAVE", 0.0)
    monkeypatch.setattr(tally, "SECONDS_A_SAVE", 0.0)
    predict, asked = FirstOrderMAML.predict, 0
    stops = {7, 25, 26, 79}  # of the 80 answers of four looks

    def counted(method: FirstOrderMAML, tasks: Tasks) -> torch.Tensor:
        nonlocal asked
        if asked in stops:
            stops.remove(asked)
            raise KeyboardInterrupt
        asked += 1
        return predict(method, tasks)

    monkeypatch.setattr(FirstOrderMAML, "predict", counted)
    while stops:
        with pytest.raises(KeyboardInterrupt):
            data.fit(laid_out("fomaml"), TASKS, parts, start="0" * 64)
    assert data.fit(laid_out("fomaml"), TASKS, parts, start="0" * 64) == expected
    assert asked == 4 * len(data.episodes)
    (tensors, _), (others, _) = (load_checkpoint(path) or ({}, {}) for path in (parts, whole))
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    assert {path.name for path in tmp_path.iterdir()} == {"whole.safetensors", "parts.safetensors"}


def test_a_training_says_at_which_commits_it_was_done(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for commit, stop_at in (("one", 4), ("two", 8)):
        with pytest.raises(KeyboardInterrupt):
            data.fit(build("proto"), TASKS, path, stop_at, commit=commit)
    assert data.fit(build("proto"), TASKS, path, commit="two").commits == ["one", "two"]


@pytest.mark.parametrize(
    ("first", "then", "said"), [("bf16", "fp32", "bf16"), ("fp32", "bf16", "bf16"), ("fp32", "fp32", "fp32")]
)
def test_a_training_of_which_any_step_was_in_bf16_says_so(
    first: str, then: str, said: str, data: Data, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        data.fit(build("proto"), TASKS, path, 4, precision=first)
    assert data.fit(build("proto"), TASKS, path, precision=then).precision == said


def test_a_training_that_is_resumed_after_its_last_step_is_of_the_commit_that_took_it(
    data: Data, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        data.fit(build("proto"), TASKS, path, TASKS.steps, commit="one")
    assert data.fit(build("proto"), TASKS, path, commit="two").commits == ["one"]


def with_noise(drop_rate: float = 0.3) -> Method:
    """A method whose backbone drops parts of its maps."""
    make_backbone = functools.partial(
        build_backbone, "resnet12", channels=1, size=28, width=2, options={"drop_rate": drop_rate}
    )
    torch.manual_seed(0)
    return load_method("proto")(make_backbone, 12, temperature=1.0)


def test_a_stopped_training_goes_on_with_the_same_noise(data: Data, tmp_path: Path) -> None:
    schedule = replace(TASKS, steps=4, validate_every=2, recompute_statistics=40)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    torch.manual_seed(1)
    data.fit(with_noise(), schedule, whole)
    torch.manual_seed(2)
    with pytest.raises(KeyboardInterrupt):
        data.fit(with_noise(), schedule, parts, stop_at=2)
    state = torch.get_rng_state()
    data.fit(with_noise(), schedule, parts)
    assert torch.equal(torch.get_rng_state(), state)
    (tensors, _), (others, _) = (load_checkpoint(path) or ({}, {}) for path in (parts, whole))
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def test_every_step_and_seed_has_noise_of_its_own(data: Data, tmp_path: Path) -> None:
    tasks = data.train.tasks(draw_episodes(pool_of(data.pack, "train"), FixedProtocol("train", 5, 1, 3, 2, 0))[:2])
    losses = []
    for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0)):
        losses.append(Stepper(with_noise(), replace(TASKS, seed=seed))(tasks, step).item())
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def strange_ends() -> dict[str, tuple[dict[str, torch.Tensor], Any]]:
    """Tensors and headers with a sound checksum that no training of ProtoNet ends with."""
    weights, summary = build("proto").state_dict(), {"summary": {}, "seconds": 1.0}
    return {
        "no summary": (weights, summary),
        "weights of another model": (build("relation").state_dict(), summary),
        "no weights": ({}, summary),
        "a header that is a list": (weights, ["summary"]),
        "a header that is a number": (weights, 7),
        "a header that is nothing": (weights, None),
    }


@pytest.mark.parametrize("name", strange_ends())
def test_a_sound_checkpoint_that_is_no_end_of_this_training_is_damaged(name: str, tmp_path: Path) -> None:
    tensors, header = strange_ends()[name]
    save_checkpoint(tmp_path / "a.safetensors", tensors, header)
    with pytest.raises(RecordError, match=r"a\.safetensors is damaged"):
        load_trained(tmp_path / "a.safetensors", build("proto"))


def _without(group: str) -> Callable[[dict[str, torch.Tensor], dict[str, Any]], None]:
    def change(tensors: dict[str, torch.Tensor], _: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.startswith(group)]:
            del tensors[name]

    return change


def _replaced(group: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor], dict[str, Any]], None]:
    def change(tensors: dict[str, torch.Tensor], _: dict[str, Any]) -> None:
        tensors[max(name for name in tensors if name.startswith(group) and tensors[name].numel() > 1)] = value

    return change


STRANGE_MIDDLES: dict[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], object]] = {
    "no progress": lambda _, header: header.clear(),
    "progress of nothing": lambda _, header: header.update(progress=None),
    "more than is known": lambda _, header: header["progress"].update(novelty=1),
    "a step beyond the last": lambda _, header: header["progress"].update(step=13),
    "a best step that is to come": lambda _, header: header["progress"].update(best_step=5),
    "a negative step": lambda _, header: header["progress"].update(step=-1),
    "an accuracy above all": lambda _, header: header["progress"].update(best_accuracy=1e308),
    "looks that are none": lambda _, header: header["progress"].update(history=[{"step": 4}]),
    "no weights": _without("model."),
    "no best weights": _without("best."),
    "best weights of another form": _replaced("best.", torch.zeros(3)),
    "weights of another form": _replaced("model.", torch.zeros(3)),
    "another optimiser's state": _replaced("optimiser.", torch.zeros(3)),
    "losses of steps that were not taken": lambda tensors, _: tensors.update({"look.losses": torch.zeros(2)}),
    "a look that is to come": lambda _, header: header["progress"]["history"][0].update(step=5),
    "no look before its best weights": lambda _, header: header["progress"].update(history=[], best_step=0),
    "a tensor of no group": lambda tensors, _: tensors.update({"other.weight": torch.zeros(3)}),
    "a state of no parameter": lambda tensors, _: tensors.update({"optimiser.a.b": torch.zeros(3)}),
}


@pytest.mark.parametrize("name", STRANGE_MIDDLES)
def test_a_sound_checkpoint_that_is_no_middle_of_this_training_is_damaged(
    name: str, stopped: Path, data: Data, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    tensors, header = load_checkpoint(stopped) or ({}, {})
    STRANGE_MIDDLES[name](tensors, header)
    save_checkpoint(path, tensors, header)
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"a\.safetensors is damaged"):
        data.fit(build("proto"), TASKS, path)
    assert path.read_bytes() == before


def test_the_best_weights_on_validation_are_kept(data: Data, tmp_path: Path) -> None:
    schedule = replace(TASKS, steps=8, validate_every=1, rate=0.3)  # so high that accuracy jumps about
    method, path = build("proto"), tmp_path / "a.safetensors"
    summary = data.fit(method, schedule, path)
    best = max(summary.history, key=lambda look: look.accuracy)
    assert (summary.best_step, summary.best_accuracy) == (best.step, best.accuracy)
    assert len({look.accuracy for look in summary.history}) > 1
    for kept in (method, loaded := build("proto", seed=9)):
        found = load_trained(path, loaded)
        assert found is not None
        assert found[0] == summary
        asked = data.episodes.query_images.size
        assert 100 * correct_counts(kept, data.val, data.episodes).sum() / asked == pytest.approx(best.accuracy)


def test_patience_ends_a_training_that_does_not_improve(data: Data, tmp_path: Path) -> None:
    schedule = replace(TASKS, steps=50, validate_every=1, rate=1e-12, patience=3)
    summary = data.fit(build("proto"), schedule, tmp_path / "a.safetensors")
    assert summary.stopped_early
    assert summary.steps == summary.best_step + 3


def test_a_loss_that_is_not_finite_is_an_error(data: Data, tmp_path: Path) -> None:
    method = build("proto")
    with torch.no_grad():
        next(iter(method.parameters())).fill_(torch.nan)
    with pytest.raises(TrainingError, match="the loss of ProtoNet is not finite at step 4"):
        data.fit(method, TASKS, tmp_path / "a.safetensors")


def test_a_training_that_starts_from_another_keeps_its_weights_if_no_later_ones_do_better(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, path = build("proto"), tmp_path / "a.safetensors"
    first = {name: value.clone() for name, value in method.state_dict().items()}
    falling = iter([14, 13, 13, 12])
    monkeypatch.setattr("fsbench.engine.training.correct_counts", lambda *_: np.full(20, next(falling)))
    summary = data.fit(method, TASKS, path, start="0")
    assert [look.step for look in summary.history] == [0, 4, 8, 12]
    assert [look.loss is None for look in summary.history] == [True, False, False, False]
    assert (summary.best_step, summary.best_accuracy) == (0, summary.history[0].accuracy)
    assert all(torch.equal(first[name], value) for name, value in method.state_dict().items())


def test_what_is_not_trained_is_counted_apart(data: Data, tmp_path: Path) -> None:
    method = build("proto")
    method.backbone.blocks[0].conv.weight.requires_grad_(False)
    summary = data.fit(method, TASKS, tmp_path / "a.safetensors")
    assert summary.frozen == method.backbone.blocks[0].conv.weight.numel()
    assert summary.parameters + summary.frozen == sum(weight.numel() for weight in method.parameters())


def test_the_time_of_a_training_that_was_stopped_is_that_of_all_its_parts(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr("fsbench.engine.training.time.monotonic", lambda: next(clock))
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    data.fit(build("proto"), TASKS, whole)
    with pytest.raises(KeyboardInterrupt):
        data.fit(build("proto"), TASKS, parts, stop_at=5)
    data.fit(build("proto"), TASKS, parts)
    seconds = [found[1] for path in (whole, parts) if (found := load_trained(path, build("proto")))]
    assert seconds[1] >= 10  # a reading of this clock a step
    assert abs(seconds[0] - seconds[1]) < 6


def test_kept_weights_have_statistics_of_plain_images(data: Data, tmp_path: Path) -> None:
    method = build("knn")
    data.fit(method, replace(BATCHES, recompute_statistics=40), tmp_path / "a.safetensors")
    again = copy.deepcopy(method)
    recompute_statistics(again, [data.train], 40, BATCHES.seed)
    kept = method.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in again.state_dict().items())


def test_a_stopped_training_that_starts_from_another_looks_at_the_start_once(data: Data, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    expected = data.fit(build("proto"), TASKS, whole, start="0")
    with pytest.raises(KeyboardInterrupt):
        data.fit(build("proto"), TASKS, parts, 4, start="0")
    assert data.fit(build("proto"), TASKS, parts, start="1") == expected, "what it started from stays what it was"
    assert expected.start == "0"
    (tensors, _), (others, _) = (load_checkpoint(path) or ({}, {}) for path in (parts, whole))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def test_the_backbone_computes_in_the_precision_of_the_training(data: Data, tmp_path: Path) -> None:
    method, seen = build("proto"), set[torch.dtype]()
    method.backbone.blocks[0].register_forward_hook(lambda _, __, maps: seen.add(maps.dtype))
    data.fit(method, TASKS, tmp_path / "a.safetensors", precision="bf16")
    assert seen == {torch.bfloat16}
