"""Where fsbench looks for files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def look_into(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes fsbench look for everything in a folder, in the subfolders that `fuzz.kinds` writes."""

    def look(folder: Path) -> None:
        monkeypatch.setenv("FSBENCH_CACHE", str(folder / "cache"))
        monkeypatch.setenv("FSBENCH_DATA", str(folder / "data"))
        if (folder / "cards").exists():
            monkeypatch.setattr("fsbench.data.card.cards_folder", lambda: folder / "cards")
        if (labels := folder / "origin" / "imagelabels.mat").exists():
            digest = hashlib.sha256(labels.read_bytes()).hexdigest()
            monkeypatch.setattr("fsbench.data.sources.vgg_flower.LABELS_SHA256", digest)

    return look
