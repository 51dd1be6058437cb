"""The episodes of a column, drawn again where the very images of its records are at hand: pictures, and classes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsbench.data.pack import Pack
from fsbench.data.words import in_words
from fsbench.episodes.protocol import AnyEpisodes, Block
from fsbench.episodes.streams import Integers
from fsbench.report.redrawn import drawn_again, packs_at_hand
from fsbench.report.table import Column, Table

__all__ = ["Sheet", "contact_sheets", "episode_classes"]

_SIDE = 48  # pixels of an image, at most; smaller ones are shown at twice their size
_CLASSES, _SUPPORT, _QUERIES = 10, 5, 5  # shown of an episode, at most: classes, and images of each
_GAP = 10  # pixels between support and query images


@dataclass(frozen=True)
class Sheet:
    """One episode as a picture.

    Attributes:
        number: Of the episode.
        classes: The names of the classes shown, a line of the picture each.
        more: How many classes are not shown.
        png: The picture: left of the gap support images, right of it queries, not more than five of a class each.
        width: Of the picture as shown, pixels.
        height: The same.
    """

    number: int
    classes: tuple[str, ...]
    more: int
    png: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def contact_sheets(table: Table) -> dict[Column, tuple[Sheet, ...] | str]:
    """For the first column of every source its first episodes, or a sentence that says why they cannot be shown.

    They are shown only if the pack that the records name lies in the cache, and if the episodes drawn from it have
    the digest that the records name. One source has two episodes, and several have one each.
    """
    first: dict[str, Column] = {}
    for column in table.columns:
        first.setdefault(column.source, column)
    packs, number = packs_at_hand(), 1 if table.by_source else 2
    sheets: dict[Column, tuple[Sheet, ...] | str] = {}
    for column in first.values():
        again = drawn_again(column, packs)
        sheets[column] = again if isinstance(again, str) else _first_sheets(*again, number)
    return sheets


def episode_classes(table: Table) -> dict[Column, tuple[Integers, ...] | str]:
    """The classes of every episode of every column, or why they are not known.

    For `fsbench.stats.intervals.class_mean_ci`. They are labels in the pack, int64 `[episodes]` of `[way]`.
    """
    packs = packs_at_hand()
    classes: dict[Column, tuple[Integers, ...] | str] = {}
    for column in table.columns:
        again = drawn_again(column, packs)
        classes[column] = (
            again if isinstance(again, str) else tuple(found for block in again[1].blocks for found in block.classes)
        )
    return classes


def _first_sheets(pack: Pack, drawn: AnyEpisodes, number: int) -> tuple[Sheet, ...]:
    blocks = [block[place : place + 1] for block in drawn[:number].blocks for place in range(len(block))]
    return tuple(_sheet(pack, place, block) for place, block in enumerate(blocks))


def _sheet(pack: Pack, number: int, block: Block) -> Sheet:
    """Draw one episode: a line a class, support images on the left and queries on the right."""
    shown = range(min(block.way, _CLASSES))
    support = [block.support_images[0][block.support_labels[0] == label][:_SUPPORT] for label in shown]
    queries = [block.query_images[0][block.query_labels[0] == label][:_QUERIES] for label in shown]
    columns, side = max(map(len, support)), min(_SIDE, pack.images.shape[2])
    grey = pack.images.shape[1] == 1
    size = ((columns + max(map(len, queries))) * (side + 1) + _GAP, len(shown) * (side + 1))
    picture = Image.new("LA" if grey else "RGBA", size)  # the gaps are transparent
    for line in shown:
        places = [place * (side + 1) for place in range(len(support[line]))]
        places += [(columns + place) * (side + 1) + _GAP for place in range(len(queries[line]))]
        for left, image in zip(places, [*support[line], *queries[line]], strict=True):
            picture.paste(_thumbnail(pack.images[image], side), (left, line * (side + 1)))
    png, zoom = io.BytesIO(), 2 if side < _SIDE else 1
    small = picture if grey else picture.quantize(256, method=Image.Quantize.FASTOCTREE)
    small.save(png, "PNG", optimize=True)
    return Sheet(
        number=number,
        classes=tuple(in_words(pack.classes[label]) for label in block.classes[0][: len(shown)]),
        more=block.way - len(shown),
        png=png.getvalue(),
        width=zoom * picture.width,
        height=zoom * picture.height,
    )


def _thumbnail(pixels: npt.NDArray[np.uint8], side: int) -> Image.Image:
    """An image of a pack, uint8 `[C, H, W]`, no larger than `side`."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return image if image.width <= side else image.resize((side, side), Image.Resampling.LANCZOS)
