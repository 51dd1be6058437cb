"""Oxford Flowers 102 (Nilsback and Zisserman, 2008) from `102flowers.tgz`, unpacked, and `imagelabels.mat`.

The labels are those of `jpg/image_00001.jpg`, `jpg/image_00002.jpg` and so on, counted from 1. Meta-Dataset's names of
the classes start with them: "001.pink primrose".
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from fsbench.data.card import Card
from fsbench.data.listing import FileImage, Listing
from fsbench.data.sources.listed import listed_source, read_lists
from fsbench.data.sources.originals import complete_listing, fetch, find_layout
from fsbench.errors import DataError
from fsbench.files.atomic import set_aside
from fsbench.files.tree import Tree, open_tree

__all__ = ["LABELS_SHA256", "download", "original", "prepare"]

LABELS_SHA256 = "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d"
_PLACES = ("flowers-102", "")
_LABELS = "imagelabels.mat"
_IMAGES = 8189


def original(card: Card, origin: Path) -> Listing | None:
    """The authors' files in a folder: in it or, as torchvision lays them, in its `flowers-102/`.

    Raises:
        DataError: The labels are not those that the authors publish, or an image or a class is missing.
    """
    folder = find_layout(origin, _PLACES, _LABELS)
    if folder is None:
        return None
    names = {int(name[:3]): name for names in read_lists(card.folder / "splits.toml").values() for name in names}
    named: dict[str, list[FileImage]] = {}
    with open_tree(folder) as tree:
        for number, label in enumerate(_labels(tree), 1):
            image = FileImage(folder, f"jpg/image_{number:05}.jpg")
            named.setdefault(names.get(label, f"label {label}"), []).append(image)
        return complete_listing(card, tree, named)


def download(folder: Path) -> None:
    """Fetch and unpack the archive (330 MB), and fetch the labels, with torchvision, which checks their MD5.

    It takes any images that are there for all of them, so those of an unpacking that was interrupted are set aside.

    Raises:
        DataError: They cannot be fetched, or are not what was published.
    """
    from torchvision.datasets import Flowers102

    unpacked = folder / "flowers-102" / "jpg"
    if unpacked.is_dir() and sum(1 for _ in unpacked.iterdir()) != _IMAGES:
        set_aside(unpacked)
    fetch("vgg_flower", Flowers102, folder)


def _labels(tree: Tree) -> list[int]:
    """The label of every image, in the order of their numbers."""
    path = tree.path / _LABELS
    content = tree.read(_LABELS)
    # scipy's reader does not always survive a damaged file, so it gets none.
    digest = hashlib.sha256(content).hexdigest()
    if digest != LABELS_SHA256:
        raise DataError(f"{path} is not the file that its authors publish (SHA-256 {digest}); get a new copy of it.")
    return [int(label) for label in np.ravel(loadmat(io.BytesIO(content))["labels"])]  # type: ignore[arg-type]  # SciPy takes files


prepare = listed_source(original)
