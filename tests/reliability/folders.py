"""What lies in an out folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

__all__ = ["contents", "finished", "steps_trained", "temporaries"]


def contents(out: Path) -> dict[str, Any]:
    """Every file but the locks by its name; of records and checkpoints all but the seconds and checksums over them."""
    return {str(path.relative_to(out)): _content(path) for path in sorted(out.rglob("*")) if _counts(path)}


def temporaries(out: Path) -> set[Path]:
    """Files that were to replace others."""
    return {path for path in out.rglob("*") if path.name.startswith(".")}


def finished(out: Path) -> dict[Path, int]:
    """When every record and every checkpoint of a finished training was written."""
    trained = (path for path, steps in steps_trained(out).items() if steps is None)
    return {path: path.stat().st_mtime_ns for path in (*out.glob("records/*.json"), *trained)}


def steps_trained(out: Path) -> dict[Path, int | None]:
    """The steps that every checkpoint holds; None: of a finished training."""
    steps = {}
    for path in out.glob("checkpoints/*.safetensors"):
        with safe_open(path, framework="np") as file:
            header = json.loads(file.metadata()["fsbench"])["header"]
        steps[path] = None if "summary" in header else header["progress"]["step"]
    return steps


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix != ".lock"


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _checkpoint(path)
    if path.parent.name != "records" or path.suffix != ".json":
        return path.read_bytes()
    record = json.loads(path.read_text())
    assert all(seconds >= 0 for seconds in record["timings"].values())
    return {key: value for key, value in record.items() if key not in ("timings", "checksum")}


def _checkpoint(path: Path) -> dict[str, Any]:
    """Its tensors as bytes, and its header without the seconds that the training took."""
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["fsbench"])["header"]
        tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118 # no mapping
    for part in (header, header.get("progress", {})):
        part.pop("seconds", None)
    return {**header, **tensors}
