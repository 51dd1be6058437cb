"""What episodes the figures of a table are of, in words for its footnote."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fsbench.records import Record
from fsbench.report.table import Column, Table
from fsbench.report.wording import Note, listed

__all__ = ["episode_notes"]

_TRACKS = {
    "apart": "support and query of a class never share a track (the frames of one object)",
    "shared": "support and query of a class may share a track (the frames of one object), as in the published protocol",
    "unknown": (
        "the prepared files do not say which images belong to a track (the frames of one object), so support and "
        "query of a class may share one"
    ),
}


def episode_notes(table: Table) -> Iterator[Note]:
    """The images and episodes of every source, and what protocols and sources are about."""
    yield from _episodes(table)
    yield from _k_shot(table)
    yield from _variable(table)
    yield from _left_out(table)


def _episodes(table: Table) -> Iterator[Note]:
    """One note a source: its images, and the episodes of each of its columns."""
    sources: dict[str, list[Column]] = {}
    for column in table.columns:
        missing = f", {column.partial}" if column.partial else ""
        tracks = f"; {_TRACKS[column.tracks]}" if column.tracks else ""
        seen = listed((_images(r) for r in table.records if r.identity.source == column.source), " and ")
        source = (
            f"{column.source}, {column.split} split, {seen}{missing}{tracks}; "
            f"sampler {column.sampler}, seed {column.episode_seed}"
        )
        sources.setdefault(source, []).append(column)
    for source, columns in sources.items():
        yield Note("Episodes", f"{source}: {'; '.join(map(_draw, columns))}.")


def _images(record: Record) -> str:
    """What a model sees: the size of the images, and the pack that they are from."""
    images = record.identity.images
    colours = "1 channel" if images["channels"] == 1 else f"{images['channels']} channels"
    enlarged = f" enlarged from {before}×{before}" if (before := images.get("enlarged_from")) else ""
    return f"{images['size']}×{images['size']} pixels{enlarged}, {colours}, pack {record.identity.pack[:12]}"


def _draw(column: Column) -> str:
    queries = "" if column.queries is None else f"{column.queries} queries per class, "
    few = column.classes_left_out
    which = "1 class left out, which has" if few == 1 else f"{few} classes left out, which have"
    left_out = f", {which} too few images" if few else ""
    return f"{column.setting}, {queries}{column.episodes} episodes, hash {column.episode_set[:12]}{left_out}"


def _k_shot(table: Table) -> Iterator[Note]:
    if any(column.way is None and column.shot is not None for column in table.columns):
        yield Note(
            "All-way",
            "an episode has all classes of the split and K images of each to learn from. Half of every class, and at "
            "least 16 images, are kept for that; all others are asked, the same for every K and every episode. The "
            "interval covers other support sets, not other test sets.",
        )
    shown = [
        str(column)
        for index, column in enumerate(table.columns)
        if column.way is None and column.shot is not None
        if not any(np.ptp(r.accuracies) for line in table.lines if (f := line.figures[index]) for r in f.records)
    ]
    if shown:
        yield Note(
            "All-way",
            f"on {listed(shown)} all images that may be shown are shown: the episodes are one, which is answered again "
            "and again. Its interval is 0, and what differs there by any amount is called significant.",
        )


def _variable(table: Table) -> Iterator[Note]:
    if any(column.shot is None for column in table.columns):
        yield Note(
            "Variable way and shot",
            "Meta-Dataset's sampler: 5 to 50 ways, up to 500 support images and up to 10 queries per class; ways and "
            "shots differ from episode to episode, and shots also from class to class.",
        )


def _left_out(table: Table) -> Iterator[Note]:
    for source, reason in table.left_out.items():
        yield Note("Left out", f"{source}: {reason}")
