"""CIFAR-100 (Krizhevsky, 2009), whose 100 classes CIFAR-FS and FC100 split, from `cifar-100-python`.

torchvision reads it, and compares its MD5 sums first. The authors' training and test images are joined here, 500 and
100 of every class.
"""

from __future__ import annotations

from pathlib import Path

from fsbench.data.card import Card
from fsbench.data.listing import Listing
from fsbench.data.pixels import PixelImage
from fsbench.data.sources.listed import listed_source
from fsbench.data.sources.originals import fetch
from fsbench.errors import DataError

__all__ = ["download", "original", "prepare"]

_FOLDER = "cifar-100-python"


def original(card: Card, origin: Path) -> Listing | None:
    """The author's folder in a folder; images are named after their part and their place there.

    Raises:
        DataError: A file is missing, or is not what was published.
    """
    if not (origin / _FOLDER).is_dir():
        return None
    from torchvision.datasets import CIFAR100

    classes: dict[str, list[PixelImage]] = {}
    for part in ("train", "test"):
        try:
            images = CIFAR100(str(origin), train=part == "train")
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{origin / _FOLDER} is not complete, or not what was published (by its MD5 sums); get a new copy."
            ) from error
        for index, label in enumerate(images.targets):
            image = PixelImage(f"{part}/{index:05}", images.data[index])
            classes.setdefault(images.classes[label], []).append(image)
    return Listing(classes)


def download(folder: Path) -> None:
    """Fetch and unpack the archive (169 MB) with torchvision, which checks its MD5.

    Raises:
        DataError: It cannot be fetched, or is not what was published.
    """
    from torchvision.datasets import CIFAR100

    fetch("CIFAR-100", CIFAR100, folder)


prepare = listed_source(original)
