"""What is said while something long is done: bars on a terminal, plain lines elsewhere.

What happens is logged by `logging.getLogger("fsbench")`; how far a run or a preparation is shown here. A program that
wants to see the log sets up logging as it likes; the command line and its processes do it with `printed_log`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from fsbench.pace import Clock, Meter, Pace
from fsbench.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

__all__ = ["Progress", "TrainingView", "open_counter", "open_progress", "printed_log"]

_LOG = logging.getLogger("fsbench")


class TrainingView(Protocol):
    """Is told how a training goes."""

    def __call__(self, step: int, loss: float, accuracy: float | None) -> None:
        """Steps taken, training loss, and accuracy in percent if it was measured."""


class Progress(Protocol):
    """The view of a run."""

    def training(self, label: str, steps: int) -> TrainingView:
        """A training of at most `steps` steps begins; the one before has ended."""

    def look(self, label: str, total: int) -> Callable[[int], None]:
        """The training looks at its validation episodes; returns what is told how many of them are answered."""

    def part(self, label: str, total: int) -> Callable[[int], None]:
        """A test that may take long begins; returns what is told how many of its episodes or images are done."""

    def advance(self) -> None:
        """One of the run's cells is finished."""


@contextmanager
def printed_log() -> Iterator[None]:
    """Print every line of the log, without more, to standard error while the block lasts."""
    if any(isinstance(handler, _Printed) for handler in _LOG.handlers):
        yield
        return
    handler, level = _Printed(), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.setLevel(level)
        _LOG.removeHandler(handler)


@contextmanager
def open_progress(total: int, *, live: bool) -> Iterator[Progress]:
    """The view of a run of `total` cells, on standard error; bars need a terminal, and `live`: that no other writes."""
    from rich.console import Console

    console = Console(stderr=True)
    if live and console.is_terminal:
        with _Bars(console, total) as bars:
            yield bars
    else:
        yield _Lines(console, total)


@contextmanager
def open_counter(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Count `total` things of a kind, e.g. "images": yields a function that is told how many more are done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console, transient=True) as bars:
            task = bars.add_task(what, total=total)
            yield lambda more: bars.advance(task, more)
        return
    done, pace = 0, Pace()

    def count(more: int) -> None:
        nonlocal done
        done += more
        if pace.due():
            _LOG.info("%s of %s %s", f"{done:,}", f"{total:,}", what)

    yield count


class _Printed(logging.Handler):
    """Asks for standard error with every line: while there are bars, rich prints above them what is written there."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(self.format(record)), file=sys.stderr, flush=True)


class _Lines:
    """Plain lines, at most one every few seconds of what is under way."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total, self._done = console, total, 0

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def training(self, label: str, steps: int) -> TrainingView:
        meter, pace = Meter(steps), Pace()

        def show(step: int, loss: float, accuracy: float | None) -> None:
            meter.update(step, loss, accuracy)
            if pace.due() or step == steps:
                self._line(f"  {label}: step {step}/{steps}, {meter}")

        return show

    def part(self, label: str, total: int) -> Callable[[int], None]:
        clock, pace = Clock(total), Pace()

        def show(done: int) -> None:
            clock.update(done)
            if pace.due():
                self._line(f"  {label}: {done}/{total}{clock.left}")

        return show

    look = part

    def advance(self) -> None:
        self._done += 1
        self._line(f"  {self._done} of {self._total} done")


class _Bars:
    """Two bars: the run, and the training or test that is under way; a third while a training validates."""

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._run = self._bars.add_task("run", total=total, figures="")
        self._part: TaskID | None = None
        self._look: TaskID | None = None

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _begin(self, label: str, total: int) -> TaskID:
        self._end_look()
        if self._part is not None:
            self._bars.remove_task(self._part)
        self._part = self._bars.add_task(label, total=total, figures="")
        return self._part

    def _end_look(self) -> None:
        if self._look is not None:
            self._bars.remove_task(self._look)
            self._look = None

    def _counted(self, task: TaskID, total: int) -> Callable[[int], None]:
        clock = Clock(total)

        def show(done: int) -> None:
            clock.update(done)
            self._bars.update(task, completed=done, figures=clock.left.removeprefix(", "))

        return show

    def training(self, label: str, steps: int) -> TrainingView:
        task, meter = self._begin(label, steps), Meter(steps)

        def show(step: int, loss: float, accuracy: float | None) -> None:
            self._end_look()
            meter.update(step, loss, accuracy)
            self._bars.update(task, completed=step, figures=str(meter))

        return show

    def part(self, label: str, total: int) -> Callable[[int], None]:
        return self._counted(self._begin(label, total), total)

    def look(self, label: str, total: int) -> Callable[[int], None]:
        self._end_look()
        self._look = self._bars.add_task(label, total=total, figures="")
        return self._counted(self._look, total)

    def advance(self) -> None:
        self._bars.advance(self._run)
