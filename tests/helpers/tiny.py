"""A source and a suite small enough to train and test every method within seconds."""

from __future__ import annotations

import json
from pathlib import Path

from fsbench.data.pack import Pack
from helpers.small import write_small_pack

__all__ = ["SIZE", "SOURCE", "contents", "write_source", "write_suite"]

SOURCE = "tiny"
SIZE = 24  # pixels; the smallest maps that RelationNet can pool twice need 22

_HEAD = f"""name = "tiny"
title = "A row of every method on a source of the test's own"

[images]
size = {SIZE}
channels = 1
mean = [0.5]
std = [0.5]

[backbone]
name = "conv4"
width = 8

[sources]
train = "{SOURCE}"
test = ["{SOURCE}"]

[episodes]
way = 5
shots = [1, 5]
queries = 5
number = 20
seed = 0

[validation]
number = 4
seed = 1
"""
_EPISODIC = """
kind = "episodes"
way = 5
queries = 5
tasks = 2
steps = { 1 = 4, 5 = 3 }
rate = 1e-3
validate_every = 2
"""
_ROWS = {
    "knn": ("", 'kind = "batches"\nbatch = 16\nsteps = 4\nrate = 1e-3\nvalidate_every = 2\n'),
    "finetune": ("steps = 3\nrate = 0.01\nmomentum = 0.9\ndampening = 0.9\nweight_decay = 1e-3\n", "knn"),
    "finetune-all": (
        "steps = 2\nrate = 0.01\nbackbone_rate = 0.01\nmomentum = 0.9\ndampening = 0.9\nweight_decay = 1e-3\n",
        "knn",
    ),
    "simpleshot": ("", "knn"),
    "logistic": ("strength = 1.0\n", "knn"),
    "logistic-ensemble": ("strengths = [0.1, 1.0, 10.0]\n", "knn"),
    "ridge": ("penalty = 0.1\n", "knn"),
    "cosine": ("steps = 3\nrate = 0.1\nscale = 10.0\n", "knn"),
    "matching": ("scale = 100.0\n", _EPISODIC),
    "proto": ("temperature = 1.0\n", _EPISODIC),
    "r2d2": ("penalty = 1.0\nscale = 10.0\n", _EPISODIC),
    "metaoptnet-ridge": ("penalty = 1.0\nscale = 5.0\nsmoothing = 0.1\n", _EPISODIC),
    "metaoptnet-svm": ("c = 0.1\nscale = 10.0\nsmoothing = 0.1\n", _EPISODIC),
    "siamese": ("margin = 1.0\n", _EPISODIC),
    "leo": (
        "latent = 4\nlatent_steps = 1\nweight_steps = 1\nlatent_rate = 1.0\nweight_rate = 1.0\n"
        "dropout = 0.1\ndivergence = 1e-3\npull = 1e-6\northogonality = 0.1\n",
        _EPISODIC,
    ),
    "relation": ("hidden = 8\n", _EPISODIC),
    "relation-transductive": ("hidden = 8\n", "relation"),
    "fomaml": ("inner_rate = 0.05\ntrain_steps = 1\ntest_steps = 2\n", _EPISODIC),
    "fomaml-transductive": ("inner_rate = 0.05\ntrain_steps = 1\ntest_steps = 2\n", _EPISODIC),
    "foprotomaml": ("inner_rate = 0.05\ntrain_steps = 1\ntest_steps = 2\ntemperature = 1.0\n", _EPISODIC),
    "maml": ("inner_rate = 0.05\ntrain_steps = 2\ntest_steps = 2\n", _EPISODIC),
    "maml-transductive": ("inner_rate = 0.05\ntrain_steps = 2\ntest_steps = 2\n", _EPISODIC),
    "anil": ("inner_rate = 0.05\ntrain_steps = 2\ntest_steps = 2\n", _EPISODIC),
}


def write_source(cache: Path, *, name: str = SOURCE, size: int = SIZE, images: int = 12, seed: int = 0) -> Pack:
    """Put a prepared own source into a cache: 12 train, 6 val and 8 test classes."""
    folder = cache / "packs" / f"{name}-{size}px"
    return write_small_pack(folder, source=name, size=size, images=images, seed=seed)


def write_suite(
    path: Path, *edits: tuple[str, str], rows: tuple[str, ...] = tuple(_ROWS), variable: bool = False
) -> Path:
    """Write the suite, each edit replacing the first place where its text stands; `variable` fits any shots."""
    text = _HEAD
    for name in rows:
        params, training = _ROWS[name]
        text += f'\n[methods.{name}]\nmethod = "{name}"\n'
        text += f'training = "{training}"\n' if training in _ROWS else ""
        text += f"\n[methods.{name}.params]\n{params}" if params else ""
        text += "" if training in _ROWS else f"\n[methods.{name}.training]\n{training.lstrip()}"
    if variable:
        text = text.replace("tasks = 2", "tasks = 1").replace("steps = { 1 = 4, 5 = 3 }", "steps = 3")
    for old, new in edits:
        assert old in text, f"the suite has no {old!r}"
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path


def contents(out: Path) -> dict[str, object]:
    """Every file of a run but the timings, and the checksums over them."""
    found: dict[str, object] = {}
    for path in sorted([*out.glob("*.*"), *out.glob("records/*")]):
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            found[path.name] = {key: value for key, value in record.items() if key not in ("timings", "checksum")}
        else:
            found[path.name] = path.read_bytes()
    return found
