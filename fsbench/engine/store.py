"""The image store: the images of one split on the device, from which tasks and batches are gathered in one step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from fsbench.data.pack import Pack
from fsbench.engine import transfer
from fsbench.engine.augmentation import Floats, augment, changes
from fsbench.episodes.protocol import Block
from fsbench.errors import EpisodeError
from fsbench.tasks import Batch, Tasks

__all__ = ["ImageStore"]

_NUMBERS_AT_ONCE = 1 << 20  # of gathered pixels: 4 MiB


class ImageStore:
    """The images of one split of a pack, as uint8: memory-mapped on the CPU; on a GPU resident, with all of the pack.

    Args:
        pack: The pack.
        split: Its split.
        device: Where tasks are made.
        mean: Of every channel, on the scale 0 to 1; subtracted.
        std: Of every channel; divided by.
        resident: Whether a GPU holds the pack; else images are read from the file whenever they are asked for.

    Raises:
        DeviceError: The pack does not fit into the device's memory.
    """

    def __init__(
        self,
        pack: Pack,
        split: str,
        device: torch.device,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        resident: bool = True,
    ) -> None:
        self.pack = pack
        self.split = split
        self.device = device
        labels = np.asarray(pack.splits[split], dtype=np.int64)
        self.indices = np.concatenate([np.arange(pack.first[c], pack.first[c] + pack.counts[c]) for c in labels])
        self._class = np.repeat(np.arange(len(labels)), pack.counts[labels])
        self._offset = int(self.indices[0])
        self._rows = np.full(int(self.indices[-1]) + 1 - self._offset, -1)
        self._rows[self.indices - self._offset] = np.arange(len(self.indices))
        mapped = device.type == "cpu" or not resident
        self._images: npt.NDArray[np.uint8] | Tensor = pack.images if mapped else transfer.resident(pack, device)
        self._first = 0  # the index in the pack of the first of them
        self._channels = len(mean)
        self._size: int | None = None
        self._recipe: Literal[True, "crop"] = True
        shape = (1, len(mean), 1, 1)
        self._scale = (1 / (255 * torch.tensor(std, dtype=torch.float64))).float().view(shape).to(device)
        self._shift = (torch.tensor(mean, dtype=torch.float64) / torch.tensor(std)).float().view(shape).to(device)

    @property
    def pixels(self) -> int:
        """Height times width of an image; 1 of a vector of features."""
        return self._size**2 if self._size else math.prod(self._images.shape[2:])

    @property
    def classes(self) -> int:
        """Classes in the split."""
        return len(self.pack.splits[self.split])

    def rows(self, images: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where images of this split, given by their indices in the pack, stand among `indices`.

        Raises:
            EpisodeError: One of them is not there.
        """
        rows = self._rows.take(images - self._offset, mode="clip")
        strangers = images[self.indices[rows] != images]  # -1 and what was clipped are the rows of other images
        if strangers.size:
            raise EpisodeError(
                f"the image {strangers[0]} of the pack in {self.pack.folder} is not in its {self.split} split or not "
                "among those that were asked for; draw the episodes from this split of this pack."
            )
        return rows

    def narrowed(self, images: npt.NDArray[np.int64]) -> ImageStore:
        """The same store as if the split had no images but these; the pixels are shared."""
        store = copy.copy(self)
        rows = np.unique(self.rows(images))
        store.indices, store._class = self.indices[rows], self._class[rows]
        store._rows = np.full_like(self._rows, -1)
        store._rows[store.indices - self._offset] = np.arange(len(rows))
        return store

    def showing(self, size: int | None, recipe: Literal[True, "crop"] = True) -> ImageStore:
        """The same store, with images of another size and augmented by another recipe; the pixels are shared.

        Args:
            size: Height and width, pixels; None: as they are in the pack.
            recipe: Of augmentation, if there is any.
        """
        store = copy.copy(self)
        store._size, store._recipe = size, recipe
        return store

    def with_features(self, features: Tensor) -> ImageStore:
        """The same store with features in the place of its images, which are then served as they are.

        Args:
            features: Float `[N, ...]`, in the order of `indices`.
        """
        store = copy.copy(self)
        places, store._first = transfer.send([self.indices - self._offset], self.device)[0], self._offset
        store._images = features.new_zeros(len(self._rows), *features.shape[1:]).index_copy_(0, places, features)
        return store

    def images(self, indices: npt.NDArray[np.int64], numbers: Floats | None = None) -> Tensor:
        """Normalised images of the given pack indices `[N]`: float `[N, C, H, W]`; a grey image in every channel.

        Channels come first, as they lie in the pack: bringing them last takes longer than all of the rest, and
        the first convolution, whose weights have them last, does it in passing.

        Args:
            indices: Of images of this split.
            numbers: Augment by these, from `fsbench.engine.augmentation.draw_numbers`; None: as they are.
        """
        return self.gathered(indices, numbers=numbers)[0]

    def gathered(
        self, indices: npt.NDArray[np.int64], *others: npt.NDArray[np.int64], numbers: Floats | None = None
    ) -> list[Tensor]:
        """What `images` gives, and after it other integers as they are, all brought to the device in one copy."""
        drawn: list[Floats] = []
        if numbers is not None:
            height, width = self._images.shape[2:]
            drawn.append(changes(numbers, height, width, self._recipe))
        places = indices - self._first
        rows, *sent = transfer.send([places, *others, *drawn], self.device)
        if isinstance(self._images, Tensor):
            raw = self._images[rows]
        else:
            raw = transfer.uploaded(torch.from_numpy(np.take(self._images, places, axis=0)), self.device)
        if raw.is_floating_point():
            return [raw, *sent]
        images = raw.expand(-1, self._channels, -1, -1).to(torch.float32)
        if drawn:
            images = augment(images.div_(255), sent.pop(), self._size or images.shape[2], self._recipe).mul_(255)
        elif self._size not in (None, images.shape[2]):
            images = F.interpolate(images, (self._size, self._size), mode="bilinear", antialias=True)
        return [images.mul_(self._scale).sub_(self._shift), *sent]

    def tasks(self, episodes: Block, numbers: Sequence[Floats] | None = None) -> Tasks:
        """The tasks of some episodes drawn from this pack; `numbers` augment the images of each, support first."""
        support, query = episodes.support_images, episodes.query_images
        own = None
        if numbers is not None:
            shots = support.shape[1]
            own = np.concatenate([*(part[:shots] for part in numbers), *(part[shots:] for part in numbers)])
        which, labels = (
            np.concatenate([support.ravel(), query.ravel()]),
            (episodes.support_labels, episodes.query_labels),
        )
        both, support_labels, query_labels = self.gathered(which, *labels, numbers=own)
        shape = both.shape[1:]
        return Tasks(
            support=both[: support.size].view(*support.shape, *shape),
            support_labels=support_labels,
            query=both[support.size :].view(*query.shape, *shape),
            query_labels=query_labels,
            way=episodes.way,
        )

    def stream(
        self, episodes: Block, size: int, begin: int = 0, numbers: Callable[[int, int], Floats] | None = None
    ) -> Iterator[Tasks]:
        """The tasks of some episodes, `size` at a time; those of small images are gathered for many times at once.

        Args:
            episodes: Drawn from this pack.
            size: Tasks at a time.
            begin: The number of the first of the episodes.
            numbers: From the number of an episode and of its images to what augments them; None: as they are.
        """
        images = episodes.support_images.shape[1] + episodes.query_images.shape[1]
        each = max(self._channels * self.pixels, math.prod(self._images.shape[1:]))  # numbers of an image
        times = max(1, _NUMBERS_AT_ONCE // (size * images * each))
        for start in range(0, len(episodes), times * size):
            part = episodes[start : start + times * size]
            own = numbers and [numbers(begin + start + index, images) for index in range(len(part))]
            gathered = self.tasks(part, own)
            for first in range(0, len(gathered), size):
                yield gathered[first : first + size]

    def batch(self, positions: npt.NDArray[np.int64], numbers: Floats | None = None) -> Batch:
        """The images at some positions within the split, with their class within the split as label."""
        images, labels = self.gathered(self.indices[positions], self._class[positions], numbers=numbers)
        return Batch(images, labels)
