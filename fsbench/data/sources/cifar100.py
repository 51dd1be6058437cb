"""CIFAR-100 (Krizhevsky, 2009), whose 100 classes CIFAR-FS and FC100 split, from `cifar-100-python`.

Its three files are pickles. Each is read once, compared with the SHA-256 of what was published, and only then looked
into. The authors' training and test images are joined here, 500 and 100 of every class.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fsbench.data.card import Card
from fsbench.data.listing import Listing
from fsbench.data.pixels import PixelImage
from fsbench.data.sources.listed import listed_source
from fsbench.data.sources.originals import fetch
from fsbench.errors import DataError
from fsbench.files.pickled import load_arrays
from fsbench.files.reading import read_bytes

__all__ = ["SHA256", "download", "original", "prepare"]

SHA256 = {  # of the files that have the MD5 sums that torchvision compares
    "meta": "a5d4786345c961390f865e93b434dbd5c6904ce880667e0cb888c97d449f28b9",
    "train": "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b",
    "test": "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864",
}
_FOLDER = "cifar-100-python"
_SIDE = 32  # pixels


def original(card: Card, origin: Path) -> Listing | None:
    """The author's folder in a folder; images are named after their part and their place there.

    Raises:
        DataError: A file is missing, or is not what was published.
    """
    folder = origin / _FOLDER
    if not folder.is_dir():
        return None
    names = _load(folder / "meta")["fine_label_names"]
    classes: dict[str, list[PixelImage]] = {}
    for part in ("train", "test"):
        content = _load(folder / part)
        pixels = np.reshape(content["data"], (-1, 3, _SIDE, _SIDE)).transpose(0, 2, 3, 1)
        for index, label in enumerate(content["fine_labels"]):
            classes.setdefault(names[label], []).append(PixelImage(f"{part}/{index:05}", pixels[index]))
    return Listing(classes)


def download(folder: Path) -> None:
    """Fetch and unpack the archive (169 MB) with torchvision, which checks its MD5.

    Raises:
        DataError: It cannot be fetched, or is not what was published.
    """
    from torchvision.datasets import CIFAR100

    fetch("CIFAR-100", CIFAR100, folder)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); get a new copy of the archive.") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[path.name]:
        raise DataError(f"{path} is not the file that its author published (SHA-256 {digest}); get a new copy of it.")
    found: dict[str, Any] = load_arrays(content)
    return found


prepare = listed_source(original)
