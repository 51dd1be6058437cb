"""Frozen digests of small packs: what reads, decodes and packs images may change, their pixels and names may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsbench.data import decoding
from fsbench.data.pack_files import load_pack
from fsbench.data.prepare import ensure_pack, prepare_own
from fsbench.data.sources.folder import OwnSource

OMNIGLOT = {
    "vinyals": "58e1508a803d7600e0f7ae2094a0cd31118c2798af1056ee99d8625bcb8dae0e",
    "original": "4008f527774b1be8cb735482fdfdab345810540703e2e8ffd1e82b2993fef8fb",
    "metadataset": "e958faffad31a0be5c1089f12d8a4bb7be4497d96194d5c1daca3852288971e5",
}


@pytest.fixture(autouse=True, params=["in this process", "in others"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("folder", "omniglot"):  # which stand in the digest
        monkeypatch.setattr(f"fsbench.data.sources.{source}.decoder_versions", lambda *codecs: {"decoder": "frozen"})
    if request.param == "in others":
        monkeypatch.setattr(decoding, "_FEW", 1)


@pytest.mark.parametrize(
    ("skip_unreadable", "digest"),
    [
        (False, "5aa6cec75144260e3327b239a615f95c184bf0a9701d5f01c500c318d3864b06"),
        (True, "201063083cbb1ac4d8128f1203bc02ae9f70437873768a80dfd85429a4c84f5d"),
    ],
)
def test_a_folder_of_images(birds: Path, skip_unreadable: bool, digest: str) -> None:
    for image in birds.rglob("*.jpg"):
        image.unlink()  # whose pixels are not the same with every decoder
    if skip_unreadable:
        (birds / "bird03" / "a.png").write_bytes(b"no image")
    pack = prepare_own("birds", birds, OwnSource(size=12, skip_unreadable=skip_unreadable))
    assert pack.digest == digest
    assert load_pack(pack.folder, verify=True).images.shape == (20 - skip_unreadable, 3, 12, 12)


@pytest.mark.parametrize("variant", OMNIGLOT)
def test_omniglot(characters: Path, variant: str) -> None:
    assert ensure_pack(f"omniglot:{variant}", data_root=characters, size=20).digest == OMNIGLOT[variant]
