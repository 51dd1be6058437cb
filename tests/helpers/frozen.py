"""A backbone of a file with weights of its own, small enough to embed within milliseconds."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["CODE", "RIDGE", "write_backbone"]

RIDGE = """
[backbones.own]
build = "own.py:Own"
weights = "weights.safetensors"
images = { size = 24 }

[methods.ridge]
method = "ridge"
params = { penalty = 0.1 }
training = "none"
backbone = "own"
"""

CODE = """import torch
from torch import nn


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)

    def forward(self, images):
        return torch.relu(self.conv(images)).mean((2, 3))


class Maps(Own):
    def forward(self, images):
        return self.conv(images)


class Gone(Own):
    def forward(self, images):
        return None


class Square(Own):
    def forward(self, images):
        return images.reshape(8, 5)


class Endless(Own):
    def forward(self, images):
        return super().forward(images) / 0


class Fails(Own):
    def __init__(self):
        raise RuntimeError("no network")


class Asks(Own):
    def __init__(self, depth):
        super().__init__()
"""


def write_backbone(folder: Path, *, seed: int = 0) -> dict[str, Tensor]:
    """Write `own.py` and `weights.safetensors` into a folder; its tensors."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "conv.weight": torch.randn(6, 3, 3, 3, generator=generator),
        "conv.bias": torch.randn(6, generator=generator),
    }
    (folder / "own.py").write_text(CODE)
    save_file(tensors, folder / "weights.safetensors")
    return tensors
