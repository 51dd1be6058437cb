"""What records say of the machine and the code."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch

import fsbench
from fsbench.records import Cuda, Environment

__all__ = ["describe_environment"]

_DRIVER = Path("/sys/module/nvidia/version")


def describe_environment(device: torch.device) -> Environment:
    """What a record says of the machine."""
    return Environment(
        fsbench=fsbench.__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        device=torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        cuda=_cuda() if device.type == "cuda" else None,
    )


def _cuda() -> Cuda:
    number = torch.backends.cudnn.version()  # type: ignore[no-untyped-call] # 91002 is 9.10.2
    return Cuda(
        runtime=torch.version.cuda,
        cudnn=None if number is None else f"{number // 10000}.{number // 100 % 100}.{number % 100}",
        driver=_DRIVER.read_text(encoding="ascii").strip() if _DRIVER.exists() else None,
        tf32=torch.backends.cudnn.allow_tf32,
    )


def _commit() -> str | None:
    """The commit of the checkout that runs, with "+" if it has changes; None for an installed package."""
    root = Path(fsbench.__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    # Hooks and bisections of another repository would say which one they mean; and no program is to be run.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    git = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root)]
    try:
        head, changes = (
            subprocess.run([*git, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if head.returncode != 0:
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
