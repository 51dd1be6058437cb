"""What only a CUDA device can show: results beside those of the CPU, recorded steps beside eager ones, and troubles."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fsbench.data.pack import Pack
from fsbench.engine.augmentation import augment, changes, draw_numbers
from fsbench.engine.batches import training_data
from fsbench.engine.checkpoints import load_checkpoint
from fsbench.engine.devices import tune_process
from fsbench.engine.evaluation import correct_counts
from fsbench.engine.memory import in_chunks
from fsbench.engine.precision import backbones_in
from fsbench.engine.schedule import Schedule
from fsbench.engine.steps import Stepper, cuda_recorder, waiting_is_an_error
from fsbench.engine.store import ImageStore
from fsbench.engine.training import train
from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.methods.base import Method
from fsbench.methods.noise import is_noisy
from fsbench.record_files import read_record
from fsbench.records import Record
from helpers.commands import fsbench
from helpers.schedules import TASKS
from helpers.small import NAMES, build, write_small_pack
from helpers.tiny import write_source, write_suite

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.usefixtures("process_as_before"),
]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
STEPS = replace(TASKS, size=2, steps=100, weight_decay=1e-4)
BATCHES = replace(STEPS, protocol=None, size=32)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_small_pack(tmp_path_factory.mktemp("pack"))


def store(pack: Pack, device: torch.device, split: str = "train") -> ImageStore:
    return ImageStore(pack, split, device, [0.5], [0.5])


def laid_out(name: str, device: torch.device = CUDA) -> Method:
    """A method as runs build them: the weights of convolutions have their channels last."""
    return build(name).to(device).to(memory_format=torch.channels_last)


def schedule_of(name: str) -> Schedule:
    return STEPS if build(name).learns_from == "episodes" else BATCHES


def trained(method: Method, schedule: Schedule, pack: Pack, steps: int = 20, *, recorded: bool) -> list[float]:
    """The losses of some steps; that a step is recorded is seen to."""
    take_step = Stepper(method, schedule, cuda_recorder(method, schedule, CUDA) if recorded else None)
    data = training_data(schedule, [store(pack, CUDA)], 0)
    losses = [take_step(next(data), step) for step in range(steps)]
    assert take_step.recorded == (recorded and method.replayable and not is_noisy(method))
    return torch.stack(losses).tolist()


def assert_recorded_as_eager(
    name: str, schedule: Schedule, pack: Pack, caplog: pytest.LogCaptureFixture, precision: str = "fp32"
) -> None:
    losses = []
    for recorded in (False, True):
        method = laid_out(name)
        with caplog.at_level(logging.WARNING, "fsbench"), backbones_in(precision, method):
            losses.append(trained(method, schedule, pack, recorded=recorded))
    assert caplog.messages == []
    assert losses[1] == pytest.approx(losses[0], rel=2e-2, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_recorded_steps_train_as_eager_ones(name: str, pack: Pack, caplog: pytest.LogCaptureFixture) -> None:
    assert_recorded_as_eager(name, schedule_of(name), pack, caplog)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd", "nesterov"])
@pytest.mark.parametrize("augment", [True, "crop"])
def test_every_optimiser_is_recorded_and_so_are_augmented_images(
    optimiser: str, augment: bool, pack: Pack, caplog: pytest.LogCaptureFixture
) -> None:
    own = (
        {"optimiser": "sgd", "momentum": 0.9, "nesterov": True} if optimiser == "nesterov" else {"optimiser": optimiser}
    )
    schedule = replace(STEPS, augment=augment, clip_value=0.1, rate_shape="one-cycle", warm_up=4, **own)
    assert_recorded_as_eager("proto", schedule, pack, caplog)


@pytest.mark.parametrize("name", ["proto", "relation", "knn", "fomaml", "foprotomaml", "maml", "anil"])
def test_backbones_in_bf16_are_recorded(name: str, pack: Pack, caplog: pytest.LogCaptureFixture) -> None:
    assert_recorded_as_eager(name, schedule_of(name), pack, caplog, "bf16")


def test_pooled_tasks_of_two_sizes_are_recorded(pack: Pack, caplog: pytest.LogCaptureFixture) -> None:
    schedule = replace(STEPS, pool=10, size=2, sizes=((20, 0), (28, 10)))
    assert_recorded_as_eager("proto", schedule, pack, caplog)


def test_the_recipe_of_the_suites_is_recorded(pack: Pack, caplog: pytest.LogCaptureFixture) -> None:
    recipe = {"pool": 10, "size": 2, "sizes": ((20, 0), (28, 10)), "augment": "crop", "rate_shape": "one-cycle"}
    schedule = replace(STEPS, **recipe, warm_up=4, optimiser="adamw", betas=(0.9, 0.99))
    assert_recorded_as_eager("proto", schedule, pack, caplog, "bf16")


def test_images_that_a_gpu_does_not_hold_are_the_same(pack: Pack) -> None:
    held = store(pack, CUDA)
    read = ImageStore(pack, "train", CUDA, [0.5], [0.5], resident=False)
    assert torch.equal(held.images(held.indices), read.images(held.indices))


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("name", ["proto", "fomaml", "knn"])
def test_neither_data_nor_steps_wait_for_the_device(name: str, augment: bool, pack: Pack) -> None:
    method, schedule = laid_out(name), replace(schedule_of(name), augment=augment)
    take_step = Stepper(method, schedule, cuda_recorder(method, schedule, CUDA))
    data = training_data(schedule, [store(pack, CUDA)], 0)
    for step in range(5):
        take_step(next(data), step)
    with waiting_is_an_error():
        for step in range(5, 45):  # beyond the next draw
            take_step(next(data), step)


@pytest.fixture
def without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def answers(name: str, pack: Pack) -> list[np.ndarray]:
    """Right answers to 100 episodes of 25 queries, of the CPU and of the GPU."""
    episodes = draw_episodes(pool_of(pack, "test"), FixedProtocol("test", 5, 2, 5, 100, 0))
    return [correct_counts(laid_out(name, device), store(pack, device, "test"), episodes) for device in (CPU, CUDA)]


@pytest.mark.usefixtures("without_tf32")
@pytest.mark.parametrize("name", NAMES)
def test_its_answers_are_those_of_the_cpu(name: str, pack: Pack) -> None:
    here, there = answers(name, pack)
    assert abs(here - there).sum() <= 3


@pytest.mark.parametrize("name", NAMES)
def test_with_tf32_it_is_as_accurate_as_the_cpu(name: str, pack: Pack) -> None:
    tune_process(deterministic=False)
    here, there = answers(name, pack)
    assert abs((here - there).mean() / 25) < 0.01


def test_products_of_matrices_are_exact() -> None:
    """TF32 would err by 1e-3: distances between features are differences of large numbers."""
    tune_process(deterministic=False)
    first, second = torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(0))
    there = (first.to(CUDA) @ second.to(CUDA)).cpu().double()
    assert (there - first.double() @ second.double()).abs().max() < 1e-3
    assert (there - first.double() @ second.double()).norm() / there.norm() < 1e-5


def test_augmentation_is_the_same_there() -> None:
    images = torch.rand(12, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    each = torch.from_numpy(changes(draw_numbers(12, seed=0, index=0), 28, 28))
    there = augment(images.to(CUDA), each.to(CUDA), 28)
    torch.testing.assert_close(there.cpu(), augment(images, each, 28), atol=3e-5, rtol=0)


@pytest.mark.parametrize("schedule", [STEPS, BATCHES], ids=["tasks", "batches"])
def test_its_data_is_that_of_the_cpu(schedule: Schedule, pack: Pack) -> None:
    here, there = (itertools.islice(training_data(schedule, [store(pack, each)], 0), 40) for each in (CPU, CUDA))
    for ours, theirs in zip(here, there, strict=True):
        for name, value in vars(ours).items():
            if isinstance(value, Tensor):
                torch.testing.assert_close(getattr(theirs, name).cpu(), value)


HARMED = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)


@pytest.mark.parametrize(
    "waits",
    [
        "item",
        pytest.param(
            "synchronize",
            marks=pytest.mark.skipif(HARMED, reason="a capture that fails harms the process before torch 2.13"),
        ),
    ],
)
def test_a_step_that_cannot_be_recorded_leaves_a_working_process(
    waits: str, pack: Pack, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is found before it is captured; the second, which no debug mode sees, while it is."""
    stream, bad = torch.cuda.current_stream(), laid_out("proto")
    wait: dict[str, Callable[[Tensor], object]] = {
        "item": Tensor.item,
        "synchronize": lambda _: torch.cuda.synchronize(),
    }
    loss = bad.loss
    bad.loss = lambda data: (value := loss(data), wait[waits](value))[0]
    take_step = Stepper(bad, STEPS, cuda_recorder(bad, STEPS, CUDA))
    data = training_data(STEPS, [store(pack, CUDA)], 0)
    with caplog.at_level(logging.WARNING, "fsbench"):
        losses = [take_step(next(data), step).item() for step in range(10)]
    assert [("cannot be replayed" in message) for message in caplog.messages] == [True]
    assert torch.cuda.current_stream() == stream
    assert losses == pytest.approx(trained(laid_out("proto"), STEPS, pack, 10, recorded=True), rel=1e-2)
    torch.cuda.empty_cache()
    torch.empty(1 << 28, dtype=torch.uint8, device=CUDA)
    torch.cuda.empty_cache()


def test_when_memory_runs_out_the_slices_are_halved(caplog: pytest.LogCaptureFixture) -> None:
    third = torch.cuda.get_device_properties(CUDA).total_memory // 3
    sizes: list[int] = []

    def hungry(which: slice) -> Tensor:
        sizes.append(which.stop - which.start)
        torch.empty(sizes[-1] * third, dtype=torch.uint8, device=CUDA)
        return torch.ones(sizes[-1], device=CUDA)

    assert in_chunks(hungry, 4, 4, "numbers", even=True).sum().item() == 4
    assert sizes[:2] == [4, 2]
    assert "with 4 numbers at once; going on with 2" in caplog.text
    torch.cuda.empty_cache()


@pytest.mark.parametrize("name", ["proto", "foprotomaml", "knn"])
def test_a_stopped_training_ends_as_one_that_was_not(name: str, pack: Pack, tmp_path: Path) -> None:
    tune_process(deterministic=True)
    schedule = replace(schedule_of(name), steps=12, augment="crop")
    episodes = draw_episodes(pool_of(pack, "val"), FixedProtocol("val", 5, 1, 3, 20, 1))
    images, looked_at = store(pack, CUDA), (store(pack, CUDA, "val"), episodes)
    ends = []
    for path, stops in ((tmp_path / "whole", ()), (tmp_path / "parts", (4, 8))):
        for stop in (*stops, None):

            def watch(step: int, loss: float, accuracy: float | None, stop: int | None = stop) -> None:
                if step == stop:
                    raise KeyboardInterrupt

            try:
                train(laid_out(name), schedule, [images], looked_at, path, watch)
            except KeyboardInterrupt:
                continue
        tensors, _ = load_checkpoint(path) or ({}, {})
        ends.append(tensors)
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    return write_suite(tmp_path / "tiny.toml")


def records(suite: Path, out: Path, *words: object) -> dict[str, Record]:
    """The records of a run, by file name."""
    result = fsbench("run", "--suite", suite, "--out", out, *words)
    assert result.exit_code == 0, result.output
    return {path.name: read_record(path) for path in (out / "records").iterdir()}


def test_a_deterministic_run_repeats(suite: Path, tmp_path: Path) -> None:
    words = ("--device", "cuda", "--deterministic")
    first, second = (records(suite, tmp_path / out, *words) for out in ("a", "b"))
    assert {name: list(record.correct) for name, record in first.items()} == {
        name: list(record.correct) for name, record in second.items()
    }


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda")], ids=" then ".join)
def test_what_one_device_has_trained_another_evaluates(devices: tuple[str, str], suite: Path, tmp_path: Path) -> None:
    words = ("--precision", "fp32", "--methods", "proto,knn,fomaml", "--device")
    first = records(suite, tmp_path / "out", *words, devices[0])
    shutil.rmtree(tmp_path / "out" / "records")
    second = records(suite, tmp_path / "out", *words, devices[1])
    assert first.keys() == second.keys()
    for name, record in first.items():
        assert record.training == second[name].training  # it was not trained again
        assert abs(record.mean - second[name].mean) < 3
        assert (record.environment.cuda is None) == (devices[0] == "cpu")


@pytest.mark.slow
def test_processes_share_a_device(suite: Path, tmp_path: Path) -> None:
    words = ("--device", "cuda", "--executor", "processes", "--workers", 2, "--methods", "proto,knn")
    found = records(suite, tmp_path / "out", *words)
    assert {record.environment.device for record in found.values()} == {torch.cuda.get_device_name()}


def test_variable_shots_run_there(suite: Path, tmp_path: Path) -> None:
    variable = write_suite(tmp_path / "variable.toml", rows=("knn", "proto", "fomaml"), variable=True)
    words = ("--device", "cuda", "--protocol", "variable", "--episodes", 3)
    assert len(records(variable, tmp_path / "out", *words)) == 3
    assert not torch.backends.cudnn.benchmark
