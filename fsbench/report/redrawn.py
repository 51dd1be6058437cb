"""Episodes that records name, drawn again from the packs in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fsbench.data.pack import Pack
from fsbench.data.pack_files import load_pack
from fsbench.data.places import packs_folder
from fsbench.episodes.content import content_digest
from fsbench.episodes.protocol import AnyEpisodes, AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler, protocol_of
from fsbench.errors import DataError, EpisodeError
from fsbench.files.reading import read_text
from fsbench.report.table import Column

__all__ = ["PackAtHand", "draw_again", "drawn_again", "packs_at_hand", "protocol_in", "shows"]


class PackAtHand(NamedTuple):
    """A pack in the cache that was not read yet: what it is of, and where it lies."""

    source: str
    folder: Path


def packs_at_hand() -> dict[str, PackAtHand]:
    """The packs in the cache by digest; what cannot be read is none."""
    found = {}
    for path in sorted(packs_folder().glob("*/pack.json")):
        try:
            content = json.loads(read_text(path))
            found[content["digest"]] = PackAtHand(content["source"], path.parent)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def protocol_in(column: Column) -> AnyProtocol:
    """How the episodes of a column are drawn by the sampler of this version."""
    return protocol_of(
        column.split, column.way, column.shot, column.queries, episodes=column.episodes, seed=column.episode_seed
    )


def draw_again(column: Column, pack: Pack) -> AnyEpisodes:
    """The episodes of a column's protocol on a pack, whether or not they are those that its records name.

    Raises:
        EpisodeError: The pack cannot give them.
        DataError: The pack is damaged.
    """
    if column.split not in pack.splits:
        raise EpisodeError(f"{column.source} has no split {column.split!r}; there are {', '.join(pack.splits)}.")
    return Sampler(pack, protocol_in(column), Rules(leave_out=True, tracks_apart=column.tracks == "apart")).draw()


def shows(column: Column, pack: Pack, drawn: AnyEpisodes) -> bool:
    """Whether episodes of a pack are those that the records of a column name."""
    return column.episode_set in (drawn.digest, content_digest(pack, drawn))  # the first in records of schema 1


def drawn_again(column: Column, packs: Mapping[str, PackAtHand]) -> tuple[Pack, AnyEpisodes] | str:
    """The pack and the episodes that the records of a column name, or why they are not to be had."""
    if (at_hand := packs.get(column.pack)) is None:
        return f"{column.source}: the images of its records (pack {column.pack[:12]}) are not prepared on this machine."
    try:
        pack = load_pack(at_hand.folder)
        drawn = draw_again(column, pack)
    except (DataError, EpisodeError) as error:
        return f"{column.source}: its episodes cannot be drawn again ({str(error).rstrip('.')})."
    if not shows(column, pack, drawn):
        return f"{column.source}: its episodes are none that this sampler draws from its images, so they are not known."
    return pack, drawn
