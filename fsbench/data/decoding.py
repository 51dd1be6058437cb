"""From listed images to one array: decoded by all cores, straight into the file of a pack."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fsbench.data.images import Report, silent
from fsbench.data.listing import ImageItem, Reader
from fsbench.errors import DataError
from fsbench.progress import open_counter

__all__ = ["Undecoded"]

_AT_ONCE = 64  # images a process decodes before it hands them over
_FEW = 2000  # images that are decoded sooner than other processes have started

_Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Undecoded:
    """N images that will be an array.

    Attributes:
        items: Where they are.
        size: Height and width, pixels.
        channels: 1 (grey) or 3 (RGB).
        report: Called with a line now and then while they are decoded.
    """

    items: Sequence[ImageItem]
    size: int
    channels: int
    report: Report = silent

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array: `(N, C, H, W)`."""
        return len(self.items), self.channels, self.size, self.size

    def decode_into(self, target: _Images) -> None:
        """Decode all images into an array of this shape.

        Raises:
            DataError: An image cannot be read or decoded, or a process that decodes was killed.
        """
        parts = [self.items[start : start + _AT_ONCE] for start in range(0, len(self.items), _AT_ONCE)]
        sizes, channels = itertools.repeat(self.size), itertools.repeat(self.channels)
        with open_counter("images decoded", len(self.items), self.report) as count:
            if len(self.items) < _FEW:
                with Reader() as reader:
                    _gather(target, map(_decode, itertools.repeat(reader), parts, sizes, channels), count)
                return
            processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
            context = multiprocessing.get_context("spawn")  # a forked process would inherit locks of threads
            try:
                with ProcessPoolExecutor(processes, context, _open_reader) as pool:
                    _gather(target, pool.map(_decode_there, parts, sizes, channels), count)
            except BrokenProcessPool as error:
                raise DataError(
                    f"a process that decodes images was killed ({error}); free memory, try again."
                ) from error


def _gather(target: _Images, parts: Iterator[_Images], count: Callable[[int], None]) -> None:
    done = 0
    for part in parts:
        target[done : done + len(part)] = part
        done += len(part)
        count(len(part))


def _decode(reader: Reader, items: Sequence[ImageItem], size: int, channels: int) -> _Images:
    return np.stack([item.decode(reader, size=size, channels=channels) for item in items])


_reader: Reader


def _open_reader() -> None:
    global _reader
    _reader = Reader()  # until its process ends


def _decode_there(items: Sequence[ImageItem], size: int, channels: int) -> _Images:
    return _decode(_reader, items, size, channels)
