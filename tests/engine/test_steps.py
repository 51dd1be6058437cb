from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fsbench.engine.schedule import Schedule
from fsbench.engine.steps import Recorder, Stepper, _record, cuda_recorder
from fsbench.errors import DeviceError
from fsbench.methods.base import Method
from fsbench.methods.noise import is_noisy
from fsbench.tasks import Batch, Tasks
from helpers.schedules import SCHEDULE
from helpers.small import NAMES, build, random_tasks


def data_of(method: Method) -> Iterator[Tasks | Batch]:
    for seed in range(8):
        tasks = random_tasks(seed=seed)
        episodic = method.learns_from == "episodes"
        yield tasks if episodic else Batch(tasks.query.flatten(0, 1), tasks.query_labels.flatten())


def trained(
    method: Method, record: Recorder | None = None, schedule: Schedule = SCHEDULE
) -> tuple[list[float], Stepper]:
    take_step = Stepper(method, schedule, record)
    return [take_step(data, step).item() for step, data in enumerate(data_of(method))], take_step


def plainly_trained(
    method: Method,
    schedule: Schedule = SCHEDULE,
    make: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
) -> list[float]:
    """The losses of the same steps, written down in the ordinary way."""
    optimiser = make(method.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    losses = []
    for step, data in enumerate(data_of(method.train())):
        optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        optimiser.zero_grad()
        loss = method.loss(data)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), schedule.clip)
        optimiser.step()
        losses.append(loss.item())
    return losses


def repeat(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """What a recording does, without a GPU: the same step again, on the tensors that it was recorded with."""
    return step


OPTIMISERS = {
    "adamw": (
        replace(SCHEDULE, optimiser="adamw", betas=(0.9, 0.99), weight_decay=0.1),
        functools.partial(torch.optim.AdamW, betas=(0.9, 0.99)),
    ),
    "sgd": (replace(SCHEDULE, optimiser="sgd"), torch.optim.SGD),
    "nesterov": (
        replace(SCHEDULE, optimiser="sgd", momentum=0.9, nesterov=True),
        functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    ),
}


@pytest.mark.parametrize(("schedule", "make"), list(OPTIMISERS.values()), ids=list(OPTIMISERS))
@pytest.mark.parametrize("record", [None, repeat], ids=["eager", "replayed"])
def test_its_steps_are_those_of_the_optimiser(
    schedule: Schedule, make: Callable[..., torch.optim.Optimizer], record: Recorder | None
) -> None:
    method, plain = build("proto").double(), build("proto").double()
    losses, _ = trained(method, record, schedule)
    assert losses == pytest.approx(plainly_trained(plain, schedule, make), rel=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if not is_noisy(build(name))])
@pytest.mark.parametrize("record", [None, repeat], ids=["eager", "replayed"])
def test_its_steps_are_those_of_adam(name: str, record: Recorder | None) -> None:
    method, plain = build(name).double(), build(name).double()
    losses, _ = trained(method, record)
    assert losses == pytest.approx(plainly_trained(plain), rel=1e-6)
    assert len(set(losses)) == len(losses)


def test_a_recording_leaves_no_trace_in_the_model() -> None:
    eager, replayed = build("proto").double(), build("proto").double()
    (_, first), (_, second) = trained(eager), trained(replayed, repeat)
    for (key, value), other in zip(eager.state_dict().items(), replayed.state_dict().values(), strict=True):
        assert torch.equal(value, other), key
    for state, other in zip(first.optimiser.state.values(), second.optimiser.state.values(), strict=True):
        assert all(torch.equal(state[key], other[key]) for key in state)


def broken(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    raise RuntimeError("operation not permitted when stream is capturing")


def forgetful(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    first = step()
    return lambda: first


@pytest.mark.parametrize(("record", "message"), [(broken, "not permitted"), (forgetful, "replayed losses")])
def test_a_recording_that_does_not_repeat_the_step_is_not_used(
    record: Recorder, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fsbench"):
        losses, _ = trained(build("proto").double(), record)
    assert losses == trained(build("proto").double())[0]
    assert [message in record.message for record in caplog.records] == [True]


def test_data_of_another_shape_is_not_copied_into_a_recording() -> None:
    """Copying would broadcast: one task into all of the recorded ones."""
    method, plain = build("proto").double(), build("proto").double()
    (_, replayed), (_, eager) = trained(method, repeat), trained(plain)
    for step, batch in enumerate((1, 2), start=8):
        tasks = random_tasks(batch=batch, seed=step)
        assert replayed(tasks, step).item() == pytest.approx(eager(tasks, step).item(), rel=1e-9)


def test_a_recording_of_losses_near_zero_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """They differ by rounding alone, which is large beside them."""
    method = build("proto").double()
    loss, noise = method.loss, iter(range(100))
    method.loss = lambda data: 1e-9 * loss(data) * next(noise)
    trained(method, repeat)
    assert caplog.messages == []


class FakeGpu:
    """CUDA's streams and graphs, as far as recording a step asks for them; a capture may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False, version: str = "2.15.0") -> None:
        self.current, self.mode, self.fails = "ordinary", 0, fails
        self.seen: list[tuple[str, int]] = []  # stream and mode of every step
        self.captured: dict[str, str] = {}
        fakes = {
            "Stream": lambda: Stream("aside"),
            "current_stream": lambda: Stream(self.current),
            "set_stream": lambda stream: setattr(self, "current", stream.name),
            "stream": lambda stream: self.on(stream.name),
            "graph": self.capture,
            "CUDAGraph": Graph,
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": lambda mode: setattr(self, "mode", {"error": 2}.get(mode, mode)),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(torch, "__version__", version)

    @contextmanager
    def on(self, stream: str) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def capture(self, graph: Graph, **given: str) -> Iterator[None]:
        self.current, self.captured = "capture", given
        yield
        if self.fails:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.current = "ordinary"

    def step(self) -> Tensor:
        self.seen.append((self.current, self.mode))
        return torch.tensor(float(len(self.seen)))


class Stream:
    def __init__(self, name: str) -> None:
        self.name = name

    def wait_stream(self, other: Stream) -> None:
        pass


class Graph:
    def replay(self) -> None:
        pass


def test_a_step_is_tried_aside_before_it_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)
    assert _record(gpu.step)().item() == 2
    assert gpu.seen == [("aside", 2), ("capture", 0)]
    assert (gpu.current, gpu.mode) == ("ordinary", 0)
    assert gpu.captured == {"capture_error_mode": "thread_local"}


def test_a_step_that_waits_for_the_device_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)

    def waits() -> Tensor:
        gpu.step()
        if gpu.mode:
            raise RuntimeError("called a synchronizing CUDA operation")
        raise AssertionError("captured")

    with pytest.raises(RuntimeError, match="synchronizing"):
        _record(waits)
    assert gpu.seen == [("aside", 2)]
    assert (gpu.current, gpu.mode) == ("ordinary", 0)


@pytest.mark.parametrize(("version", "harmed"), [("2.11.0+cu128", True), ("2.15.0", False)])
def test_after_a_capture_that_failed_the_stream_is_the_ordinary_one(
    version: str, harmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = FakeGpu(monkeypatch, fails=True, version=version)
    with pytest.raises(RuntimeError, match="previous error during capture") as raised:
        _record(gpu.step)
    assert gpu.current == "ordinary"
    assert ("start the run again" in str(raised.value)) == harmed


def test_another_size_of_images_is_recorded_anew() -> None:
    schedule = replace(SCHEDULE, sizes=((16, 0), (28, 6)))
    method, plain = build("proto").double(), build("proto").double()
    recorded: list[int] = []

    def record(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        recorded.append(step.__closure__[0].cell_contents._data.support.shape[-1])
        return step

    both = [Stepper(method, schedule, record), Stepper(plain, schedule)]
    for step in range(12):
        tasks, size = random_tasks(seed=step), schedule.size_at(step)
        tasks = replace(tasks, support=tasks.support[..., :size, :size], query=tasks.query[..., :size, :size])
        losses = [take_step(tasks, step).item() for take_step in both]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert recorded == [16, 28]


@pytest.mark.parametrize("changes", [{"clip_value": 1e-3}, {"clip": 1e-3, "clip_value": 1e-3}], ids=str)
def test_gradients_are_cut_by_value_before_by_norm(changes: dict[str, float]) -> None:
    method, tasks = build("proto").double(), random_tasks()
    Stepper(method, replace(SCHEDULE, **({"clip": None} | changes)))(tasks, 0)
    gradients = [weight.grad for weight in method.parameters()]
    (plain := build("proto").double().train()).loss(tasks).backward()
    cut = [weight.grad.clamp(-1e-3, 1e-3) for weight in plain.parameters()]
    norm = torch.cat([gradient.flatten() for gradient in cut]).norm()
    scale = min(1.0, changes.get("clip", torch.inf) / (norm + 1e-6))
    for ours, theirs in zip(gradients, cut, strict=True):
        torch.testing.assert_close(ours, theirs * scale)


def test_a_cpu_records_nothing() -> None:
    assert cuda_recorder(build("proto"), SCHEDULE, torch.device("cpu")) is None


class Hungry:
    """Puts a limit on the tasks that a method's loss takes at once."""

    def __init__(self, method: Method, limit: int) -> None:
        self.seen: list[int] = []
        loss = method.loss

        def limited(data: Tasks) -> Tensor:
            self.seen.append(len(data))
            if len(data) > limit:
                raise torch.OutOfMemoryError("no memory")
            return loss(data)

        method.loss = limited


def roomy(method: Method, tasks: Tasks) -> Stepper:
    """A stepper that does all tasks side by side, as on a GPU."""
    take_step = Stepper(method, replace(SCHEDULE, size=len(tasks)))
    take_step.tasks_at_once = len(tasks)
    return take_step


def test_when_memory_runs_out_half_of_the_tasks_are_done_at_once(caplog: pytest.LogCaptureFixture) -> None:
    method, tasks = build("fomaml").double(), random_tasks(batch=5)
    plain = copy.deepcopy(method)
    hungry = Hungry(method, limit=2)
    losses = [roomy(method, tasks)(tasks, 0).item(), roomy(plain, tasks)(tasks, 0).item()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    for ours, theirs in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)
    assert hungry.seen == [5, 2, 2, 1]
    assert "with 5 training tasks or images at once; going on with 2" in caplog.text


@pytest.mark.parametrize(("name", "seen"), [("fomaml", [4, 2, 1]), ("proto", [4])])
def test_memory_that_does_not_hold_a_single_part_is_an_error(name: str, seen: list[int]) -> None:
    method, tasks = build(name).double(), random_tasks(batch=4)
    hungry = Hungry(method, limit=0)
    with pytest.raises(DeviceError, match=r"ran out of memory with [14] training tasks or images at once"):
        roomy(method, tasks)(tasks, 0)
    assert hungry.seen == seen
