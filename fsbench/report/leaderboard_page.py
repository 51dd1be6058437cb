"""The leaderboard as a page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fsbench.files.atomic import write_atomic
from fsbench.records import Record, Track
from fsbench.report.comparable import deviations
from fsbench.report.grids import Entry, Grid
from fsbench.report.leaderboard import Entrant, Folder, Ranking, rankings, read_folder
from fsbench.report.pages import render
from fsbench.report.table import Column
from fsbench.report.wording import listed
from fsbench.setting import row_label
from fsbench.text import path_part

__all__ = ["write_leaderboard"]

_NOTHING: Final = "–"
_TRACKS: Final[dict[Track, str]] = {
    "A": "Track A: trained on the suite's own classes",
    "B": "Track B: trained elsewhere, without known overlap",
    "C": "Track C: trained elsewhere, with overlap, or not known",
}
_ROW: Final = ("Method", "Rank", "Accuracy", "Backbone", "Seeds", "Suite")
_ORIGIN: Final = ("By", "Commit", "Verified", "Results")


def write_leaderboard(paths: Sequence[Path], out: Path) -> Path:
    """Write `index.html` with all rankings of the rows in some folders; its links lead to these by relative paths.

    Args:
        paths: The out folders of runs, in whatever suites; of equal records the first folder counts.
        out: Where to write.

    Returns:
        The page.

    Raises:
        RecordError: No folder has a record that can be read.
        OutputError: The page cannot be written.
    """
    folders = [read_folder(path) for path in paths]
    by_source = groupby(rankings(folders), key=lambda ranking: ranking.column.source)
    page = render(
        "leaderboard.html.j2",
        parts=[_part(source, list(found), out) for source, found in by_source],
        contributions=_contributions(folders, out),
        problems=[file.problem for folder in folders for file in folder.checked if file.problem],
    )
    write_atomic(out / "index.html", page)
    return out / "index.html"


def _part(source: str, found: Sequence[Ranking], out: Path) -> dict[str, Any]:
    """One test source: a section for every set of episodes, and in it a grid for every track."""
    sections = [
        {
            "title": column.setting,
            "name": f"{column}, episodes {column.episode_set[:12]}",
            "facts": _facts(column),
            "grids": [_grid(ranking, out) for ranking in several],
        }
        for column, several in groupby(found, key=lambda ranking: ranking.column)
    ]
    return {"ident": f"source-{path_part(source)}", "title": source, "sections": sections}


def _facts(column: Column) -> list[str]:
    queries = [] if column.queries is None else [f"{column.queries} queries a class"]
    facts = [f"{column.episodes:,} {column.split} episodes", *queries]
    facts.append(f"episodes {column.episode_set[:12]}, drawn by {column.sampler}")
    return [*facts, f"incomplete images: {column.partial}"] if column.partial else facts


def _grid(ranking: Ranking, out: Path) -> Grid:
    lines = tuple(_line(entrant, out) for entrant in ranking.entrants)
    return Grid(
        _TRACKS[ranking.track],
        (*_ROW, *_ORIGIN),
        lines,
        apart=sum(entrant.apart is not None for entrant in ranking.entrants),
    )


def _line(entrant: Entrant, out: Path) -> tuple[Entry, ...]:
    first, folder, seeds = entrant.records[0], entrant.folder, [r.identity.train_seed for r in entrant.records]
    notes = [entrant.apart, *dict.fromkeys(map(deviations, entrant.records))]
    return (
        Entry(
            row_label(first.label, transductive=first.identity.transductive),
            below="; ".join(filter(None, notes)),
            kind="name",
        ),
        Entry(_NOTHING if entrant.rank is None else f"{entrant.rank:.1f}", sort=entrant.rank),
        Entry(
            f"{entrant.accuracy.mean:.2f}",
            f"± {entrant.accuracy.half_width:.2f}",
            sort=entrant.accuracy.mean,
            mark="best" if entrant.best else "",
        ),
        Entry(first.backbone_label, kind="text"),
        Entry(str(len(seeds)), sort=len(seeds), title=f"seeds {listed(map(str, seeds))}"),
        Entry(first.identity.suite, kind="text"),
        _by(folder),
        _commits(entrant.records),
        Entry(entrant.verified, kind="text"),
        _link(folder, out),
    )


def _contributions(folders: Sequence[Folder], out: Path) -> Grid:
    """Every folder, who contributed it, and how many of its records verify."""
    lines = []
    for folder in folders:
        records = [file for file in folder.checked if file.record is not None]
        failing = sum(file.problem is not None for file in folder.checked)
        link = folder.contribution.link if folder.contribution else None
        lines.append(
            (
                replace(_link(folder, out), kind="name"),
                _by(folder),
                Entry(link or _NOTHING, kind="text", leads=link or ""),
                Entry(listed(record.identity.suite for record in folder.records), kind="text"),
                Entry(listed(record.environment.fsbench for record in folder.records), kind="text"),
                _commits(folder.records),
                Entry(f"{len(records):,}", sort=len(records)),
                Entry(f"{failing:,}", sort=failing),
            )
        )
    heads = ("Results", "By", "More", "Suite", "Version", "Commit", "Records", "Failing files")
    return Grid("Contributions", heads, tuple(lines))


def _by(folder: Folder) -> Entry:
    """Who contributed a folder, and when, as far as it says so."""
    said = folder.contribution
    return Entry(said.by, below=str(said.date), kind="text") if said else Entry(_NOTHING, kind="text")


def _commits(records: Iterable[Record]) -> Entry:
    return Entry(listed((record.environment.commit or "not recorded")[:12] for record in records), kind="code")


def _link(folder: Folder, out: Path) -> Entry:
    target = Path(os.path.relpath(folder.path.resolve(), out.resolve())).as_posix()
    return Entry(folder.path.resolve().name, kind="text", leads=f"{quote(target)}/")
