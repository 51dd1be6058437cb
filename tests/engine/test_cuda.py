"""What only a CUDA device can show: its results beside the CPU's, and recorded steps beside eager ones."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from fsbench.cli.main import main
from fsbench.engine.augmentation import augment, changes, draw_numbers
from fsbench.engine.evaluation import correct_counts
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.records import read_record
from helpers.schedules import SCHEDULE
from helpers.small import NAMES, build, write_small_pack
from helpers.tiny import write_source, write_suite

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("name", NAMES)
def test_recorded_steps_train_as_eager_ones(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ImageStore(write_small_pack(tmp_path), "train", CUDA, [0.5], [0.5])
    drawn = draw_episodes(pool_of(store.pack, "train"), FixedProtocol("train", 5, 2, 5, 40, 0))
    losses = []
    for recorded in (False, True):
        method = build(name).to(CUDA)
        take_step = Stepper(method, SCHEDULE, cuda_recorder(method, SCHEDULE, CUDA) if recorded else None)
        if method.learns_from == "episodes":
            data = list(store.stream(drawn, 2))
        else:
            data = [store.batch(torch.arange(start, start + 32).numpy()) for start in range(20)]
        with caplog.at_level(logging.WARNING, "fsbench"):
            losses.append([take_step(part, step).item() for step, part in enumerate(data)])
    assert caplog.messages == []
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_its_answers_are_those_of_the_cpu(name: str, tmp_path: Path) -> None:
    pack = write_small_pack(tmp_path)
    episodes = draw_episodes(pool_of(pack, "test"), FixedProtocol("test", 5, 2, 5, 100, 0))
    counts = [
        correct_counts(build(name).to(device), ImageStore(pack, "test", device, [0.5], [0.5]), episodes)
        for device in (CPU, CUDA)
    ]
    assert abs(counts[0] - counts[1]).sum() <= 0.01 * 25 * len(episodes)


def test_a_deterministic_run_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    suite = write_suite(tmp_path / "tiny.toml")
    found = []
    for out in (tmp_path / "a", tmp_path / "b"):
        words = ["run", "--suite", str(suite), "--out", str(out), "--device", "cuda", "--deterministic"]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        found.append({path.name: read_record(path).correct for path in (out / "records").iterdir()})
    assert found[0] == found[1]


def test_augmentation_is_the_same_there() -> None:
    images = torch.rand(12, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    numbers = draw_numbers(12, seed=0, index=0)
    each = torch.from_numpy(changes(numbers, 28, 28))
    there = augment(images.to(CUDA), each.to(CUDA), 28)
    torch.testing.assert_close(there.cpu(), augment(images, each, 28), atol=3e-5, rtol=0)


def test_variable_shots_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    write_source(tmp_path / "cache")
    suite = write_suite(tmp_path / "tiny.toml", variable=True)
    words = ["run", "--suite", str(suite), "--out", str(tmp_path / "out"), "--device", "cuda", "--protocol", "variable"]
    result = CliRunner().invoke(main, [*words, "--episodes", "3"])
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "records").iterdir())) == 9
