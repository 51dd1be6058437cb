"""Where runs happen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """A cache with one source, and a suite on it.

    Attributes:
        environment: Of every run.
        cache: The folder of the packs.
        suite: Its rows are a metric, two classifiers of one training, and a gradient method.
    """

    environment: dict[str, str]
    cache: Path
    suite: Path

    def words(self, out: Path) -> list[str]:
        """The command line of a run."""
        return ["run", "--suite", str(self.suite), "--out", str(out), "--device", "cpu"]
