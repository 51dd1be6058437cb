"""Splits requirements.lock for an image without CUDA: `python tools/cpu_lock.py requirements.lock cpu.lock torch.txt`.

PyPI's torch for Linux needs CUDA's libraries. That of PyTorch's own index for the CPU does not, but it is other files,
whose hashes are not in the lock.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_TORCH = re.compile(r"(torch|torchvision)==")
_CUDA = re.compile(r"(triton|nvidia-\S+|cuda-\S+)==")


def split(lock: str) -> tuple[str, str]:
    """What is installed by its hashes, and what comes from PyTorch's index: a version a line."""
    pins = re.split(r"\n(?=\S)", lock.strip())
    hashed = [pin for pin in pins if not _TORCH.match(pin) and not _CUDA.match(pin)]
    torch = [pin.split(" ", 1)[0] for pin in pins if _TORCH.match(pin)]
    return "\n".join(hashed) + "\n", "\n".join(torch) + "\n"


if __name__ == "__main__":
    source, *targets = map(Path, sys.argv[1:])
    for target, text in zip(targets, split(source.read_text(encoding="utf-8")), strict=True):
        target.write_text(text, encoding="utf-8")
