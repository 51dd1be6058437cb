"""What the benchmarks measured: ratios of paired rounds, and the tables made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from fsbench.files.atomic import write_atomic

__all__ = ["Ratio", "ratio_of", "to_markdown", "update"]


@dataclass(frozen=True)
class Ratio:
    """How often ours does the peer's work in the peer's time.

    Attributes:
        topic: What is compared, e.g. "sampling".
        what: The work.
        peer: Who else does it.
        unit: Of the rates, e.g. "episodes/s".
        ours: Our rate, median over the rounds.
        theirs: The peer's, likewise.
        quartiles: Of the ratio over the rounds: 25 %, median, 75 %.
        rounds: How many.
        target: The ratio to reach, or None.
        allocation: "default", or "tuned" where glibc keeps freed memory on both sides.
        note: What a reader must know, e.g. that the peer did a part of the work and its time is scaled.
    """

    topic: str
    what: str
    peer: str
    unit: str
    ours: float
    theirs: float
    quartiles: tuple[float, float, float]
    rounds: int
    target: float | None
    allocation: str
    note: str


def ratio_of(
    ours: Sequence[float], theirs: Sequence[float], *, our_work: float, their_work: float
) -> tuple[float, float, tuple[float, float, float]]:
    """Rates of both, and quartiles of the ratio, from the seconds of paired rounds and the work done in each."""
    our_rate, their_rate = our_work / np.asarray(ours), their_work / np.asarray(theirs)
    low, middle, high = np.quantile(our_rate / their_rate, [0.25, 0.5, 0.75])
    return float(np.median(our_rate)), float(np.median(their_rate)), (float(low), float(middle), float(high))


def update(path: Path, ratios: Sequence[Ratio], environment: dict[str, Any]) -> tuple[list[Ratio], dict[str, Any]]:
    """Write ratios to a JSON file, in place of those of the same work that it holds.

    Returns all ratios that it holds then, and the environment with the commits of all of them.
    """
    found: list[Ratio] = []
    commits = [environment["commit"]]
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [Ratio(**row | {"quartiles": tuple(row["quartiles"])}) for row in content["ratios"]]
        commits = [content["environment"]["commit"], *commits]
    merged = {(row.topic, row.what, row.peer, row.allocation): row for row in [*found, *ratios]}
    rows = sorted(merged.values(), key=lambda row: (row.allocation, row.topic))
    whole = environment | {"commit": ", ".join(dict.fromkeys(", ".join(map(str, commits)).split(", ")))}
    content = {"environment": whole, "ratios": [asdict(row) for row in rows]}
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return rows, whole


def to_markdown(ratios: Sequence[Ratio], environment: dict[str, Any]) -> str:
    """The tables as Markdown: one with glibc's default allocation, one with the tuned one."""
    titles = {
        "default": "## With glibc's default allocation",
        "tuned": "## With glibc's allocation thresholds raised for both sides",
    }
    parts = ["# Ours beside the alternatives", ""]
    for allocation, title in titles.items():
        if rows := [row for row in ratios if row.allocation == allocation]:
            parts += [title, "", _table(rows), ""]
    machine = ", ".join(f"{name} {value}" for name, value in environment.items())
    return "\n".join([*parts, f"Ratios are medians (quartiles) over paired rounds. {machine}.", ""])


def _table(ratios: Sequence[Ratio]) -> str:
    headers = ("topic", "work", "ours", "beside", "theirs", "ratio (quartiles)", "at least")
    align = ("left", "left", "right", "left", "right", "right", "right")
    return tabulate([_cells(row) for row in ratios], headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def _cells(row: Ratio) -> tuple[str, ...]:
    low, middle, high = (f"{value:.3g}" for value in row.quartiles)
    missed = row.target is not None and row.quartiles[1] < row.target
    return (
        row.topic,
        f"{row.what}; {row.note}" if row.note else row.what,
        f"{row.ours:.4g} {row.unit}",
        row.peer,
        f"{row.theirs:.4g} {row.unit}",
        f"**{middle}** ({low}–{high})",
        "" if row.target is None else f"{row.target:g}" + " (missed)" * missed,
    )
