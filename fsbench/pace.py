"""How fast something goes that takes long, what time is left, and how often that is said."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["SECONDS_A_LINE", "Clock", "Meter", "Pace"]

SECONDS_A_LINE: Final = 15.0


class Pace:
    """How often there is a line."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for another, which then counts as printed."""
        now = time.monotonic()
        if now - self._last < SECONDS_A_LINE:
            return False
        self._last = now
        return True


class Clock:
    """How fast things are done, and the time left, from the second call on.

    Attributes:
        speed: Things a second; 0 while it is not known.
        left: As text that follows another; empty while it is not known.
    """

    def __init__(self, total: int) -> None:
        self._total, self.speed, self.left = total, 0.0, ""
        self._first: tuple[float, int] | None = None

    def update(self, done: int) -> None:
        """So many are done by now."""
        now = time.monotonic()
        if self._first is None:  # what was done before only sets the clock
            self._first = now, done
        started, before = self._first
        self.speed = (done - before) / max(now - started, 1e-9)
        self.left = f", {(self._total - done) / self.speed:.0f} s left" if self.speed > 0 else ""


class Meter:
    """Loss, validation accuracy, speed and time left of one training, as text."""

    def __init__(self, steps: int) -> None:
        self._clock, self._text, self._accuracy = Clock(steps), "", ""

    def update(self, step: int, loss: float, accuracy: float | None) -> None:
        """As an `fsbench.progress.TrainingView` is told."""
        self._clock.update(step)
        if accuracy is not None:
            self._accuracy = f", validation {accuracy:.2f} %"
        speed = f", {self._clock.speed:.1f} steps/s" if self._clock.left else ""
        self._text = f"loss {loss:.4f}{self._accuracy}{speed}{self._clock.left}"

    def __str__(self) -> str:
        return self._text
