"""From listed images to one array: decoded by all cores, a few at a time, so that their number takes no memory."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fsbench.data.listing import ImageItem, Reader
from fsbench.errors import DataError
from fsbench.progress import open_counter

__all__ = ["Decoded", "Undecoded"]

_AT_ONCE = 64  # images a process decodes before it hands them over
_FEW = 2000  # images that are decoded sooner than other processes have started


class Decoded(NamedTuple):
    """What became of some neighbouring images.

    Attributes:
        images: Those that can be read, in their order, uint8 `[n, C, H, W]`.
        unreadable: The places of the others among these neighbours, each with what is wrong.
    """

    images: npt.NDArray[np.uint8]
    unreadable: dict[int, str]


@dataclass(frozen=True)
class Undecoded:
    """N images that will be an array.

    Attributes:
        items: Where they are.
        size: Height and width, pixels.
        channels: 1 (grey) or 3 (RGB).
        skip_unreadable: Leave out the images that cannot be read instead of stopping at the first.
        otherwise: How to leave them out, as the end of a sentence; empty where the source must be whole.
    """

    items: Sequence[ImageItem]
    size: int
    channels: int
    skip_unreadable: bool = False
    otherwise: str = ""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array, if all can be read: `(N, C, H, W)`."""
        return len(self.items), self.channels, self.size, self.size

    def decode(self) -> Iterator[tuple[int, Decoded]]:
        """Decode all images; yield those that belong together and the number of the first, in their order.

        Raises:
            DataError: An image cannot be read and is not to be skipped, or a process that decodes was killed.
        """
        starts = range(0, len(self.items), _AT_ONCE)
        parts = (Undecoded(self.items[start : start + _AT_ONCE], *self._form) for start in starts)
        with open_counter("images decoded", len(self.items)) as count:
            for start, decoded in zip(starts, self._decoded(parts), strict=True):
                yield start, decoded
                count(len(decoded.images) + len(decoded.unreadable))

    @property
    def _form(self) -> tuple[int, int, bool, str]:
        return self.size, self.channels, self.skip_unreadable, self.otherwise

    def _decoded(self, parts: Iterator[Undecoded]) -> Iterator[Decoded]:
        if len(self.items) < _FEW:
            with Reader() as reader:
                yield from (_decode(reader, part) for part in parts)
            return
        processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        context = multiprocessing.get_context("spawn")  # a forked process would inherit locks of threads
        try:
            with ProcessPoolExecutor(processes, context, _open_reader) as pool:
                ahead = deque[Future[Decoded]]()  # a few: what is decoded sooner than written would fill the memory
                for part in parts:
                    ahead.append(pool.submit(_decode_there, part))
                    if len(ahead) > 8 * processes:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(f"a process that decodes images was killed ({error}); free memory, try again.") from error


def _decode(reader: Reader, part: Undecoded) -> Decoded:
    images, unreadable = [], {}
    for place, item in enumerate(part.items):
        try:
            images.append(item.decode(reader, size=part.size, channels=part.channels))
        except DataError as error:
            if part.skip_unreadable:
                unreadable[place] = error.problem
            elif part.otherwise:
                raise DataError(f"{str(error).rstrip('.')}, {part.otherwise}.") from error
            else:
                raise
    return Decoded(np.stack(images) if images else np.empty((0, *part.shape[1:]), dtype=np.uint8), unreadable)


_reader: Reader


def _open_reader() -> None:
    global _reader
    _reader = Reader()  # until its process ends


def _decode_there(part: Undecoded) -> Decoded:
    return _decode(_reader, part)
