"""Where and how large the steps of `gpu.py` are, and how they take time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch

from fsbench.engine.store import ImageStore
from made import MINIIMAGENET, Shape
from ratios import ratio_of

__all__ = ["SMALL", "Result", "Setting"]

SMALL: Final = Shape("small", channels=3, size=28, classes=8, images=24)
Result: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where and how large.

    Attributes:
        device: Where it runs.
        small: A rehearsal of the script, whose figures mean nothing.
        runs: The folder for runs of whole suites.
        data_root: Where the sources' files lie, or None.
        deadline: On the clock of `time.monotonic`; no step is started after it, and a run is interrupted.
    """

    device: torch.device
    small: bool
    runs: Path
    data_root: Path | None
    deadline: float

    @property
    def shape(self) -> Shape:
        return SMALL if self.small else MINIIMAGENET

    def size(self, full: int, small: int) -> int:
        return small if self.small else full

    def images(self, images: ImageStore) -> ImageStore:
        """The same images, on the device."""
        return ImageStore(images.pack, images.split, self.device, [0.5] * 3, [0.25] * 3)

    def seconds(self, work: Callable[[], object]) -> float:
        """How long some work takes until the device is done with it."""
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def beside(self, ours: Callable[[], object], peer: Callable[[], object], *, work: int, at_least: float) -> Result:
        """Rates of both, and quartiles of the ratio over paired rounds, the peer first."""
        rounds = self.size(11, 2)
        theirs, mine = zip(*((self.seconds(peer), self.seconds(ours)) for _ in range(rounds)), strict=True)
        rate, their_rate, quartiles = ratio_of(mine, theirs, our_work=work, their_work=work)
        return {"ours": rate, "theirs": their_rate, "ratio": quartiles, "at_least": at_least, "rounds": rounds}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
