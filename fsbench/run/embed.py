"""Embedding a source once, for any number of runs on its features."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsbench.backbones.features import check_name, read_features, write_features
from fsbench.backbones.pretrained import Pretrained
from fsbench.data.pack import Pack
from fsbench.data.prepare import ensure_pack
from fsbench.engine.evaluation import embed_images
from fsbench.engine.memory import frozen_at_once
from fsbench.engine.precision import backbones_in
from fsbench.engine.store import ImageStore
from fsbench.errors import DataError
from fsbench.files.atomic import remove
from fsbench.files.locks import locked
from fsbench.progress import open_counter

__all__ = ["embed_source", "named_images"]

_LOG = logging.getLogger("fsbench")
_IMAGES_A_PART: Final = 256  # about what is lost when an embedding is stopped


def embed_source(
    source: str,
    backbone: Pretrained,
    out: Path,
    *,
    size: int,
    split: str = "test",
    precision: Literal["fp32", "bf16"] = "fp32",
    data_root: Path | None = None,
    device: torch.device,
) -> tuple[int, int]:
    """Write the features of all images of a split of a source into a file.

    What is done is kept beside the file, part by part, until it is written, so that an embedding that was stopped goes
    on. Parts are always the same images, so that the file is the same as without a stop.

    Args:
        source: As suites name it.
        backbone: Makes the features.
        out: The file, FILE.safetensors.
        size: Of the images of a suite, pixels, for a backbone that has no size of its own.
        split: Of the source.
        precision: Of the backbone; features are float32.
        data_root: Where the sources' files lie, if the pack is not yet prepared.
        device: Where to compute.

    Returns:
        The number of images and of features of each.

    Raises:
        FsbenchError: Any error that the user can fix; the parts that were finished are kept.
    """
    check_name(out)
    pack = ensure_pack(source, size=backbone.prepared_size or size, data_root=data_root)
    if not pack.splits[split]:
        raise DataError(f"{source} has no classes in the split {split!r}; embed another one.")
    store = ImageStore(pack, split, device, backbone.mean, backbone.std, resident=False)  # each image is seen once
    store = store if backbone.enlarged_from is None else store.showing(backbone.size)
    classes, names = named_images(pack, store)  # now: the pack may be replaced meanwhile
    network = backbone.network.to(device).to(memory_format=torch.channels_last)
    at_once = frozen_at_once(backbone.largest, device)
    facts: dict[str, Any] = {
        "source": source,
        "label": network.label,
        "corpora": list(backbone.corpora),
        "made_with": _made_with(backbone, pack, precision),
        "fingerprint": list(backbone.fingerprint),
    }

    def embed(part: ImageStore) -> Tensor:
        with backbones_in(precision, network):
            return embed_images(network, part, at_once)

    with locked(out, _wait), open_counter("images", len(store.indices)) as count:
        parts = _Parts(out.with_name(f"{out.name}.parts"), pack, facts)
        done = []
        for part in _cut(store, at_once * max(1, _IMAGES_A_PART // at_once)):
            done.append(parts.features(part, embed))
            count(len(part.indices))
        features = torch.cat(done)
        pack.check_unchanged()
        write_features(out, features, images=zip(classes, names.tolist(), strict=True), **facts)
        parts.clear()
    return len(features), features.shape[1]


def named_images(pack: Pack, store: ImageStore) -> tuple[list[str], npt.NDArray[np.str_]]:
    """Class and name of every image of a store, as its pack has them.

    Raises:
        DataError: The names are damaged.
    """
    return [pack.classes[label] for label in pack.labels[store.indices]], pack.names_of(store.indices)


@dataclass(frozen=True)
class _Parts:
    """What is done of an embedding: files of features of their own.

    Attributes:
        folder: Where they lie.
        pack: Of the images.
        facts: What they say of themselves, but for their images; one that says anything else is made again.
    """

    folder: Path
    pack: Pack
    facts: dict[str, Any]

    def features(self, store: ImageStore, embed: Callable[[ImageStore], Tensor]) -> Tensor:
        """The features of a part's images `[N, D]` on the host: as they were found, or made now."""
        path = self.folder / f"{store.indices[0]:08}.safetensors"
        classes, names = named_images(self.pack, store)
        images = list(zip(classes, names.tolist(), strict=True))
        if path.exists():
            try:
                found = read_features(path)
                if found.head.model_dump(exclude={"images", "sha256"}) == self.facts and found.head.images == images:
                    return found.features
            except DataError as error:
                _LOG.warning("%s This part is made again.", error)
        features = embed(store).cpu()
        write_features(path, features, images=images, **self.facts)
        return features

    def clear(self) -> None:
        """Remove them."""
        for path in self.folder.glob("*.safetensors"):
            remove(path)
        with suppress(OSError):  # somebody else has a file there
            self.folder.rmdir()


def _cut(store: ImageStore, size: int) -> Iterator[ImageStore]:
    for start in range(0, len(store.indices), size):
        yield store.narrowed(store.indices[start : start + size])


def _made_with(backbone: Pretrained, pack: Pack, precision: str) -> str:
    """All that decides the features, in words."""
    size = "" if backbone.size is None else f" at {backbone.size} pixels"
    enlarged = f" enlarged from {backbone.enlarged_from}" if backbone.enlarged_from else ""
    scale = f"mean {', '.join(map(str, backbone.mean))}, std {', '.join(map(str, backbone.std))}"
    return (
        f"{backbone.library or 'a file of code'}; weights {backbone.weights}; {backbone.kind} features in {precision}; "
        f"pack {pack.digest}{size}{enlarged}, {scale}"
    )


def _wait(holder: str) -> None:
    _LOG.info("Waiting for %s, which is writing the same features.", holder)
