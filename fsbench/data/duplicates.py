"""Images that are in a pack more than once."""

from __future__ import annotations

import hashlib

from fsbench.data.pack import Pack

__all__ = ["duplicates_across_splits"]


def duplicates_across_splits(pack: Pack) -> list[tuple[str, str]]:
    """Names of images with the same pixels as an image of another split, each with the first such image."""
    split_of = {label: split for split, labels in pack.splits.items() for label in labels}
    first: dict[bytes, int] = {}
    found = []
    for index, image in enumerate(pack.images):
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        other = first.setdefault(digest, index)
        if split_of.get(int(pack.labels[other])) != split_of.get(int(pack.labels[index])):
            found.append((str(pack.names[index]), str(pack.names[other])))
    return found
