"""One training step after another: in parts where memory asks for it, and replayed from a recording on a GPU."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TypeAlias

import torch
from torch import Tensor

from fsbench.engine.memory import halved
from fsbench.engine.optimisers import make_optimiser
from fsbench.engine.schedule import Schedule
from fsbench.errors import TrainingError
from fsbench.methods.base import Method
from fsbench.methods.noise import addressed_noise, is_noisy
from fsbench.tasks import Batch, PooledTasks, Tasks

__all__ = ["Recorder", "Stepper", "cuda_recorder", "waiting_is_an_error"]

Recorder: TypeAlias = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]

_LOG = logging.getLogger("fsbench")
_EAGER_STEPS = 3  # before recording: kernels are chosen and memory is laid out
_CLOSE = 1e-2  # relative: losses that differ by rounding alone
_NOTHING = 1e-6  # losses of a training that has nothing left to learn
_RECOVERS = (2, 13)  # the first torch whose memory can be trusted after a recording that failed


def cuda_recorder(method: Method, schedule: Schedule, device: torch.device) -> Recorder | None:
    """What records a step there; None on a CPU, where shapes or noise vary, and where bits are to be reproducible."""
    constant = (schedule.protocol is None or schedule.protocol.one_shape) and not is_noisy(method)
    usable = device.type == "cuda" and method.replayable and constant
    return _record if usable and not torch.are_deterministic_algorithms_enabled() else None


class Stepper:
    """Takes a method through the steps of a schedule: forward, backward, clipping, the optimiser's step.

    The tasks of a separable method are done one by one on a CPU, where that is fastest and smallest, and
    side by side on a GPU. A step on a GPU is hundreds of small kernels, and starting them one by one takes
    longer than running them: after a few steps their sequence is recorded once (a CUDA graph) and from
    then on replayed. A recording that does not repeat two eager steps is not used, and that is said. It holds for
    images of one size, so a new phase of the schedule begins with eager steps again.

    Args:
        method: On its device.
        schedule: Optimiser, rates, weight decay, clipping.
        record: What records a step, or None to run every step eagerly.

    Attributes:
        optimiser: Its state belongs into checkpoints.
        tasks_at_once: How many tasks of a separable method are done side by side.
    """

    def __init__(self, method: Method, schedule: Schedule, record: Recorder | None = None) -> None:
        self._method, self._schedule, self._record = method, schedule, record
        self._parameters = list(method.parameters())
        on_gpu = self._parameters[0].device.type == "cuda"
        self.optimiser = make_optimiser(self._parameters, schedule)
        self.tasks_at_once = 1 if method.separable and not on_gpu else schedule.size
        self._noisy, self._number = is_noisy(method), 0
        self._eager_steps = 0
        self._size: int | None = None
        self._replay: Callable[[], Tensor] | None = None
        self._data: Tasks | PooledTasks | Batch

    @property
    def recorded(self) -> bool:
        """Whether steps are replayed now."""
        return self._replay is not None

    def __call__(self, data: Tasks | PooledTasks | Batch, step: int) -> Tensor:
        """Take a step, counted from 0; returns its loss, still on the device.

        Raises:
            DeviceError: The device has too little memory.
        """
        self._method.train()
        self._number = step
        self._set_rate(self._schedule.rate_at(step))
        if self._size != (size := self._schedule.size_at(step)):
            self._size, self._replay, self._eager_steps = size, None, 0
        if self._record is not None and self._eager_steps == _EAGER_STEPS:
            self._replay = self._recorded(data, self._record)
            self._record = self._record if self._replay else None
            self._eager_steps += 1
        if self._replay is not None and _shapes(data) == _shapes(self._data):  # else copying would broadcast
            for target, source in zip(_tensors(self._data), _tensors(data), strict=True):
                target.copy_(source, non_blocking=True)
            return self._replay().clone()
        self._eager_steps += 1
        return self._eager(data)

    def _eager(self, data: Tasks | PooledTasks | Batch) -> Tensor:
        while True:
            try:
                return self._step(data)
            except torch.OutOfMemoryError as error:
                number, divisible = self.tasks_at_once, self._method.separable
                self.tasks_at_once = halved(number, "training tasks or images", error, divisible=divisible)

    def _step(self, data: Tasks | PooledTasks | Batch) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        losses, first = [], 0
        for part, share in self._parts(data):
            with self._noise(first):
                loss = self._method.loss(part)
                if not (isinstance(loss, Tensor) and loss.ndim == 0):
                    found = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
                    raise TrainingError(
                        f"the loss of {self._method.label} has the {found}; return a scalar tensor, a mean over the "
                        "tasks."
                    )
                loss = loss * share
                if not loss.requires_grad:
                    raise TrainingError(
                        f"the loss of {self._method.label} depends on no weight that is trained; compute it from their "
                        "outputs, without detach() or no_grad()."
                    )
                loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            first += self.tasks_at_once
        if self._schedule.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self._parameters, self._schedule.clip_value)
        if self._schedule.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._schedule.clip)
        self.optimiser.step()
        return torch.stack(losses).sum()

    def _noise(self, first: int) -> contextlib.AbstractContextManager[None]:
        """What sets torch's generators for a part that begins with the task of this number."""
        if not self._noisy:
            return contextlib.nullcontext()
        return addressed_noise(self._schedule.seed, self._number, first, self._parameters[0].device)

    def _parts(self, data: Tasks | PooledTasks | Batch) -> Iterator[tuple[Tasks | PooledTasks | Batch, float]]:
        """The parts that the data is done in, with their share of it."""
        if not (self._method.separable and isinstance(data, Tasks)):
            yield data, 1.0
            return
        for start in range(0, len(data), self.tasks_at_once):
            part = data[start : start + self.tasks_at_once]
            yield part, len(part) / len(data)

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # in place: a recording reads it there
            else:
                group["lr"] = rate

    def _recorded(self, data: Tasks | PooledTasks | Batch, record: Recorder) -> Callable[[], Tensor] | None:
        """A recording of a step on data like this, or None if it cannot be made; nothing is trained meanwhile."""
        self._data = copy.deepcopy(data)
        before = [state.clone() for state in self._state()]
        eager = [self._eager(self._data).item() for _ in range(2)]
        self._restore(before)
        try:
            replay = record(lambda: self._step(self._data))
            self._restore(before)
            replayed = [replay().item() for _ in range(2)]
        except RuntimeError as error:
            _LOG.warning("%s: steps cannot be replayed (%s); all are eager.", self._method.label, str(error))
            return None
        finally:
            self._restore(before)
        pairs = zip(eager, replayed, strict=True)
        if not all(math.isclose(*pair, rel_tol=_CLOSE, abs_tol=_NOTHING) for pair in pairs):
            _LOG.warning("%s: replayed losses %s, not %s; all steps are eager.", self._method.label, replayed, eager)
            return None
        return replay

    def _state(self) -> list[Tensor]:
        """All tensors that a step changes."""
        optimiser = [value for state in self.optimiser.state.values() for value in state.values() if value is not None]
        return [*self._method.state_dict().values(), *optimiser]

    def _restore(self, before: list[Tensor]) -> None:
        for state, value in zip(self._state(), before, strict=True):
            state.copy_(value)


def _tensors(data: Tasks | PooledTasks | Batch) -> list[Tensor]:
    return [value for field in fields(data) if isinstance(value := getattr(data, field.name), Tensor)]


def _shapes(data: Tasks | PooledTasks | Batch) -> list[torch.Size]:
    return [tensor.shape for tensor in _tensors(data)]


def _record(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A step as a CUDA graph, after one on a stream aside, as PyTorch's notes on whole-network capture ask for.

    A step that waits for the device cannot be captured, and a capture that fails may harm the process. So the step
    aside is one in which waiting is an error.

    Raises:
        RuntimeError: The step cannot be recorded.
    """
    current = torch.cuda.current_stream()
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(current)
    try:
        with torch.cuda.stream(aside), waiting_is_an_error():
            step()
    finally:
        current.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        # other threads may go on: the one of a loader that pins memory would end a capture of mode "global"
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            loss = step()
    except RuntimeError as error:
        if _version(torch.__version__) < _RECOVERS:
            raise RuntimeError(
                f"{error}; with torch {torch.__version__} later rows cannot be recorded after that either, and memory "
                "that runs out ends the process, so start the run again for them"
            ) from error
        raise
    finally:
        torch.cuda.set_stream(current)  # which a capture that failed does not do before torch 2.13

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """While it lasts, an operation that waits for the GPU, such as reading a loss, raises a RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it does not see everything
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _version(text: str) -> tuple[int, ...]:
    """Major and minor number, of e.g. "2.11.0+cu128"."""
    return tuple(map(int, text.split(".")[:2]))
