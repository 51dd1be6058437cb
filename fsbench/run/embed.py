"""Embedding a source once, for any number of runs on its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fsbench.backbones.features import write_features
from fsbench.backbones.pretrained import Pretrained
from fsbench.data.pack import Pack
from fsbench.data.prepare import ensure_pack
from fsbench.engine.evaluation import LEAST_FROZEN, embed_images
from fsbench.engine.store import ImageStore

__all__ = ["embed_source", "named_images"]


def embed_source(
    source: str,
    backbone: Pretrained,
    out: Path,
    *,
    size: int,
    split: str = "test",
    data_root: Path | None = None,
    device: torch.device,
) -> tuple[int, int]:
    """Write the features of all images of a split of a source into a file.

    Args:
        source: As suites name it.
        backbone: Makes the features.
        out: The file, FILE.safetensors.
        size: Of the images of a suite, pixels, for a backbone that has no size of its own.
        split: Of the source.
        data_root: Where the sources' files lie, if the pack is not yet prepared.
        device: Where to compute.

    Returns:
        The number of images and of features of each.

    Raises:
        FsbenchError: Anything that its reader can mend.
    """
    pack = ensure_pack(source, size=backbone.prepared_size or size, data_root=data_root)
    store = ImageStore(pack, split, device, backbone.mean, backbone.std)
    store = store if backbone.enlarged_from is None else store.showing(backbone.size)
    network = backbone.network.to(device)
    features = embed_images(network, store, LEAST_FROZEN)
    pack.check_unchanged()
    classes, names = named_images(pack, store)
    write_features(
        out,
        features,
        source=source,
        images=zip(classes, names.tolist(), strict=True),
        label=network.label,
        corpora=backbone.corpora,
        made_with=f"{backbone.library}; weights {backbone.weights}; pack {pack.digest}",
        fingerprint=backbone.fingerprint,
    )
    return len(features), features.shape[1]


def named_images(pack: Pack, store: ImageStore) -> tuple[list[str], npt.NDArray[np.str_]]:
    """Class and name of every image of a store, as its pack has them.

    Raises:
        DataError: The names are damaged.
    """
    return [pack.classes[label] for label in pack.labels[store.indices]], pack.names_of(store.indices)
