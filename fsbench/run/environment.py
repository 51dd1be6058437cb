"""What records say of the machine and the code."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch

import fsbench
from fsbench.records import Environment

__all__ = ["describe_environment"]


def describe_environment(device: torch.device) -> Environment:
    """What a record says of the machine."""
    return Environment(
        fsbench=fsbench.__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
    )


def _commit() -> str | None:
    """The commit of the checkout that runs, with "+" if it has changes; None for an installed package."""
    root = Path(fsbench.__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    head, changes = (
        subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
    )
    if head.returncode != 0:
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
