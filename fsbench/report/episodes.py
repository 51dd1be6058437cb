"""The episodes of a column, drawn again where the very images of its records are at hand: pictures, and classes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsbench.data.pack import Pack, load_pack
from fsbench.data.places import packs_folder
from fsbench.data.words import in_words
from fsbench.episodes.content import content_digest
from fsbench.episodes.protocol import AnyEpisodes, Block
from fsbench.episodes.sampler import Rules, Sampler, protocol_of
from fsbench.episodes.streams import Integers
from fsbench.errors import DataError, EpisodeError
from fsbench.files.reading import read_text
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
    packs, number = _packs(), 1 if table.by_source else 2
    sheets: dict[Column, tuple[Sheet, ...] | str] = {}
    for column in first.values():
        again = _drawn_again(column, packs)
        sheets[column] = again if isinstance(again, str) else _first_sheets(*again, number)
    return sheets


def episode_classes(table: Table) -> dict[Column, tuple[Integers, ...] | str]:
    """The classes of every episode of every column, or why they are not known.

    For `fsbench.stats.intervals.class_mean_ci`. They are labels in the pack, int64 `[episodes]` of `[way]`.
    """
    packs = _packs()
    classes: dict[Column, tuple[Integers, ...] | str] = {}
    for column in table.columns:
        again = _drawn_again(column, packs)
        classes[column] = (
            again if isinstance(again, str) else tuple(found for block in again[1].blocks for found in block.classes)
        )
    return classes


def _packs() -> dict[str, Path]:
    """The packs in the cache by digest; what cannot be read is none."""
    found = {}
    for path in sorted(packs_folder().glob("*/pack.json")):
        try:
            found[json.loads(read_text(path))["digest"]] = path.parent
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _drawn_again(column: Column, packs: Mapping[str, Path]) -> tuple[Pack, AnyEpisodes] | str:
    """The pack and the episodes that the records of a column name, or why they are not to be had."""
    if (folder := packs.get(column.pack)) is None:
        return f"{column.source}: the images of its records (pack {column.pack[:12]}) are not prepared on this machine."
    try:
        pack = load_pack(folder)
        protocol = protocol_of(
            column.split, column.way, column.shot, column.queries, episodes=column.episodes, seed=column.episode_seed
        )
        drawn = Sampler(pack, protocol, Rules(leave_out=True, tracks_apart=column.tracks == "apart")).draw()
    except (DataError, EpisodeError) as error:
        return f"{column.source}: its episodes cannot be drawn again ({str(error).rstrip('.')})."
    if column.episode_set not in (drawn.digest, content_digest(pack, drawn)):  # the first in records of schema 1
        return f"{column.source}: its episodes are none that this sampler draws from its images, so they are not known."
    return pack, drawn


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
