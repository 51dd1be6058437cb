"""The right answers of an evaluation under way, in a file from which a stopped one goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from fsbench.engine.checkpoints import SECONDS_A_SAVE, load_checkpoint, save_checkpoint
from fsbench.errors import RecordError
from fsbench.files.atomic import remove

__all__ = ["SUFFIX", "Tally"]

SUFFIX: Final = ".tally"  # of the files
_LOG = logging.getLogger("fsbench")


class _Kept(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    of: dict[str, Any]
    counts: list[int]
    seconds: Annotated[float, Field(ge=0)]


class Tally:
    """The right answers so far of a method that answers task by task, kept every two minutes.

    Args:
        path: The file. One that is damaged, or of something else, counts for nothing.
        of: What decides the answers, as JSON.
        watcher: Told how many episodes are answered.

    Attributes:
        counts: Right answers of the first episodes, as many as the file knew.
        seconds: That these took.
    """

    def __init__(self, path: Path, of: Mapping[str, Any], watcher: Callable[[int], None] | None = None) -> None:
        self._path, self._of, self._watcher = path, dict(of), watcher
        kept = self._read()
        self.counts, self.seconds = ([], 0.0) if kept is None else (kept.counts, kept.seconds)
        self._answered = len(self.counts)
        self._started = self._saved = time.monotonic()

    def update(self, counts: Sequence[Tensor]) -> None:
        """More episodes are answered: tell it, and write the counts of all if it is time to.

        Args:
            counts: int64 `[n]` each, from the first episode on; the last of them are new.

        Raises:
            OutputError: The folder cannot be written.
        """
        self._answered += len(counts[-1])
        if self._watcher is not None:
            self._watcher(self._answered)
        now = time.monotonic()
        if now - self._saved < SECONDS_A_SAVE:
            return
        kept = _Kept(of=self._of, counts=torch.cat(list(counts)).tolist(), seconds=self.seconds + now - self._started)
        save_checkpoint(self._path, {}, kept.model_dump())
        self._saved = time.monotonic()

    def discard(self) -> None:
        """Remove the file, if there is one.

        Raises:
            OutputError: The folder cannot be written.
        """
        remove(self._path)

    def _read(self) -> _Kept | None:
        try:
            found = load_checkpoint(self._path)
            kept = None if found is None else _Kept.model_validate(found[1])
        except (RecordError, ValidationError):
            _LOG.warning("%s is damaged; the episodes that it counted are answered again.", self._path)
            return None
        return kept if kept is not None and kept.of == self._of else None
