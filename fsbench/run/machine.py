"""What this machine has for a run: processor or GPU, arithmetic, memory, versions, data, and what a run would use."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import fsbench
from fsbench.data.card import list_cards
from fsbench.data.places import data_root, packs_folder, source_files
from fsbench.engine.devices import pick_device
from fsbench.engine.precision import pick_precision

__all__ = ["describe_machine"]

_OPTIONAL = ("timm", "ray", "submitit")
_GIB = 2**30


def describe_machine(root: Path | None = None) -> dict[str, Any]:
    """What there is, as JSON would have it.

    Args:
        root: The folder of the sources' folders; as of `fsbench run`.

    Returns:
        "system": versions; "processor": its name, cores and memory in GiB; "gpus": name and memory in GiB of each;
        "data": where files and packs lie, how many sources have files, how many packs there are, and free disk in GiB;
        "run": the device, precision and threads that `fsbench run` would use.
    """
    device = pick_device("auto")
    place, packs = data_root(root), packs_folder()
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0  # the driver may count what torch cannot use
    gpus = [torch.cuda.get_device_properties(index) for index in range(number)]
    cards = [card.name for card in list_cards() if card.files]
    return {
        "system": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "fsbench": fsbench.__version__,
            "torch": torch.__version__,
            "optional": {name: _version(name) for name in _OPTIONAL},
        },
        "processor": {
            "name": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory": _memory(),
        },
        "gpus": [{"name": gpu.name, "memory": round(gpu.total_memory / _GIB, 1)} for gpu in gpus],
        "data": {
            "files": str(place.absolute()),
            "sources": [name for name in cards if source_files(name, place).exists()],
            "missing": [name for name in cards if not source_files(name, place).exists()],
            "packs": {"folder": str(packs), "number": len(list(packs.glob("*/pack.json")))},
            "free": round(shutil.disk_usage(_existing(packs)).free / _GIB, 1),
        },
        "run": {
            "device": device.type,
            "precision": pick_precision("auto", device, deterministic=False),
            "threads": torch.get_num_threads(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _memory() -> float | None:
    """Of the whole machine, GiB; None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
