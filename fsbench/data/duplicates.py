"""Images that are in a pack more than once."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from fsbench.data.pack import Pack

__all__ = ["duplicates_across_splits"]


def duplicates_across_splits(pack: Pack) -> list[tuple[str, str]]:
    """Names of images with the same pixels as an earlier image of another split, each with the first such image."""
    split_of = {label: split for split, labels in pack.splits.items() for label in labels}
    first: defaultdict[str | None, dict[bytes, int]] = defaultdict(dict)  # of every split, the first of some pixels
    found = []
    for index, image in enumerate(pack.images):
        split = split_of.get(int(pack.labels[index]))
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if same := [images[digest] for other, images in first.items() if other != split and digest in images]:
            found.append((str(pack.names[index]), str(pack.names[min(same)])))
        first[split].setdefault(digest, index)
    return found
