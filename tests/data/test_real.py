"""Sources prepared from real images, where a folder of them is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsbench.data.card import load_card
from fsbench.data.pack import SPLITS
from fsbench.data.places import source_files
from fsbench.data.prepare import ensure_pack, verify

pytestmark = pytest.mark.skipif(
    "FSBENCH_TEST_DATA" not in os.environ, reason="FSBENCH_TEST_DATA names no folder of real data"
)
SOURCES = (
    *("miniimagenet", "omniglot:metadataset", "ilsvrc_2012", "aircraft", "cu_birds", "dtd", "quickdraw", "fungi"),
    *("vgg_flower", "traffic_sign", "mscoco"),
)


@pytest.mark.parametrize("source", SOURCES)
def test_a_real_source_is_what_its_card_says_or_partial(source: str) -> None:
    root = Path(os.environ["FSBENCH_TEST_DATA"])
    name, _, variant = source.partition(":")
    if not source_files(name, root).exists():
        pytest.skip(f"there are no files of {source}")
    pack = ensure_pack(source, size=16, data_root=root)
    assert verify(source, size=16).digest == pack.digest
    card = load_card(name)
    declared = card.variant(variant or None)
    complete = {split: getattr(declared.classes, split) for split in SPLITS}
    found = {split: len(pack.splits[split]) for split in SPLITS}
    assert all(found[split] <= complete[split] for split in SPLITS)
    assert (pack.partial is None) == (found == complete and len(pack.images) == declared.images)
    assert (pack.tracks is not None) == bool(card.track)
    assert 10 < pack.images[:: len(pack.images) // 500 + 1].mean() < 245
