"""Rows without training: their backbones, loaded once for a run, and what stands for a training in their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fsbench.engine.revision import ENGINE
from fsbench.files.atomic import sha256_json
from fsbench.suite import Suite

if TYPE_CHECKING:
    from fsbench.backbones.pretrained import Pretrained

__all__ = ["Untrained", "featured_sources", "load_backbones"]


@dataclass(frozen=True)
class Untrained:
    """A model that nothing is trained for: a frozen backbone, which all methods on it share.

    The attributes are those of `fsbench.run.cells.Training`, as far as it has any.

    Attributes:
        row: A row that has it, for messages.
        backbone: The backbone.
        precision: In which it embeds images.
    """

    row: str
    backbone: Pretrained
    precision: Literal["fp32", "bf16"] = "fp32"
    sources: tuple[str, ...] = ()
    shot: None = None
    upon: tuple[()] = ()

    @property
    def id(self) -> str:
        """SHA-256 of everything that can change its features."""
        content = {
            "engine": ENGINE,
            "backbone": self.backbone.identity(),
            "backbone_revision": self.backbone.revision,
            "images": self.backbone.images_identity(),
        }
        return sha256_json(content if self.precision == "fp32" else content | {"precision": self.precision})

    @property
    def name(self) -> str:
        """A readable file name that no other has."""
        return f"{self.backbone.name}-frozen-{self.id[:12]}"


def load_backbones(suite: Suite, rows: Sequence[str]) -> Mapping[str, Pretrained]:
    """The frozen backbones of some rows, by the suite's names.

    Raises:
        FsbenchError: As for `fsbench.backbones.pretrained.load_pretrained`.
    """
    names = dict.fromkeys(name for row in rows if (name := suite.pretrained_of(row)) is not None)
    if not names:
        return {}
    from fsbench.backbones.pretrained import load_pretrained

    return {name: load_pretrained(name, suite.backbones[name], suite.folder) for name in names}


def featured_sources(suite: Suite, rows: Sequence[str], backbones: Mapping[str, Pretrained]) -> list[str] | None:
    """The sources that there are features of, in files, if all rows are on such files; else None."""
    names = [suite.pretrained_of(row) for row in rows]
    files = [backbones[name].files for name in names if name is not None]
    if len(files) < len(names) or not all(files):
        return None
    return list(dict.fromkeys(source for each in files for source in each))
