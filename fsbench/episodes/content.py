"""What episodes show, apart from the pixels: the same images at another size have the same content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from fsbench.episodes.pool import digest_of
from fsbench.files.atomic import canonical_json

if TYPE_CHECKING:
    from fsbench.data.pack import Pack
    from fsbench.episodes.protocol import AnyEpisodes

__all__ = ["content_digest"]


def content_digest(pack: Pack, episodes: AnyEpisodes) -> str:
    """SHA-256 of the images of some episodes, by class and image name, and of how they are arranged.

    The arrangement is the order of support and query images and their labels within the episode. Where an image
    stands in the pack does not matter, nor how large it is.

    Raises:
        DataError: The names of the images are damaged.
    """
    parts = [(b.support_images, b.support_labels, b.query_images, b.query_labels) for b in episodes.blocks]
    images = np.unique(np.concatenate([array.ravel() for part in parts for array in (part[0], part[2])]))
    classes = (pack.classes[label] for label in pack.labels[images])
    names = [list(pair) for pair in zip(classes, pack.names_of(images), strict=True)]
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    whole = hashlib.sha256(canonical_json([names[index] for index in order]))
    for support, shown, query, asked in parts:
        ranks = (rank[np.searchsorted(images, array)] for array in (support, query))
        whole.update(digest_of([*ranks, shown, asked]).encode())
    return whole.hexdigest()
