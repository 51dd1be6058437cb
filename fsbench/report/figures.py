"""What the figures of a report show, before any drawing: the same for the page and for the files of a paper."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

from fsbench.record_files import RecordStore
from fsbench.records import Record
from fsbench.report.table import Figure, Line, Table
from fsbench.stats.friedman import MIN_METHODS, MIN_SOURCES, Friedman, friedman
from fsbench.stats.paired import episode_accuracies

__all__ = [
    "Curve",
    "Dot",
    "Histogram",
    "Panel",
    "accuracy_panels",
    "critical_differences",
    "distribution_panels",
    "file_name",
    "padded",
    "trace",
    "training_panels",
]

_BINS = 100  # at most, of a histogram whose episodes have equally many queries
_MIXED_WIDTH = 2.5  # percent, of its bins where they have not
_HARD = 5  # percentile of the episodes

_Mark = TypeVar("_Mark", covariant=True)
_Kind = Literal["best", "ranked", "apart"]


@dataclass(frozen=True)
class Dot:
    """An accuracy and its 95 % confidence interval.

    Attributes:
        name: Of the row.
        mean: Percent.
        ci95: Half width, percent.
        kind: "best" as `Figure.best`, otherwise "ranked", or "apart": transductive and not ranked.
        trace: As `trace` says it.
    """

    name: str
    mean: float
    ci95: float
    kind: _Kind
    trace: str

    @property
    def ends(self) -> tuple[float, float]:
        """Of the interval, percent."""
        return self.mean - self.ci95, self.mean + self.ci95


@dataclass(frozen=True)
class Histogram:
    """How the accuracies of single episodes spread; with several training seeds, each episode's mean over them.

    Attributes:
        name: Of the row.
        edges: Of the bins, percent, ascending; a bin holds what lies above its lower edge up to its upper one, the one
            from 0 also 0.
        shares: Of the episodes in every bin.
        hard: The accuracy that 5 % of the episodes do not exceed, percent.
        median: Percent.
        trace: As `trace` says it.
    """

    name: str
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    hard: float
    median: float
    trace: str


@dataclass(frozen=True)
class Curve:
    """A training seen through its validation episodes.

    Attributes:
        kind: What it was for: "1-shot", or "any shot" of a training without episodes of one shot.
        seed: The training seed.
        looks: Step and accuracy in percent of every look.
        kept: The same of the weights that were kept.
    """

    kind: str
    seed: int
    looks: tuple[tuple[int, float], ...]
    kept: tuple[int, float]


@dataclass(frozen=True)
class Panel(Generic[_Mark]):
    """One of several small figures that are read side by side: a column's, or a row's."""

    title: str
    marks: tuple[_Mark, ...]


def accuracy_panels(table: Table) -> list[Panel[Dot]]:
    """Every column's accuracies, the best average rank first and rows that have none last."""
    return [
        Panel(_title(table, place), tuple(_dot(line, figure) for line, figure in _by_rank(table, place)))
        for place in range(len(table.columns))
    ]


def distribution_panels(table: Table) -> list[Panel[Histogram]]:
    """Every column's accuracies of single episodes, in the order of `accuracy_panels`."""
    return [
        Panel(_title(table, place), tuple(_histogram(line.name, figure) for line, figure in _by_rank(table, place)))
        for place in range(len(table.columns))
    ]


def training_panels(table: Table) -> list[Panel[Curve]]:
    """Every row's trainings, each once; rows that share theirs share a panel, and without a history there is none."""
    names: dict[tuple[str, ...], list[str]] = {}
    trainings = {record.identity.training: record for record in table.records if record.training.history}
    for line in table.lines:
        found = dict.fromkeys(record.identity.training for record in line.records)
        names.setdefault(tuple(training for training in found if training in trainings), []).append(line.name)
    return [
        Panel(", ".join(found), tuple(_curve(trainings[training]) for training in shared))
        for shared, found in names.items()
        if shared
    ]


def critical_differences(table: Table) -> dict[str, Friedman]:
    """Friedman's and Nemenyi's tests over the sources of every way and shot that has enough of them and of methods.

    They are of the inductive rows that have no gap there; of several tracks, of the largest group of one track.
    """
    found = {}
    for setting in table.settings:
        group = max(table.comparable(setting), key=len, default={})
        means = {name: [figure.mean for figure in figures] for name, figures in group.items()}
        sources = sum(column.setting == setting for column in table.columns)
        if len(means) >= MIN_METHODS and sources >= MIN_SOURCES:
            found[setting] = friedman(means)
    return found


def padded(values: Iterable[float]) -> tuple[float, float]:
    """The ends of an axis that shows all values with some room, also where they are all the same."""
    found = list(values)
    low, high = min(found), max(found)
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def file_name(record: Record) -> str:
    """What the file of a record is called in its store."""
    return RecordStore(Path()).path(record.identity).name


def trace(figure: Figure) -> str:
    """Which records and which episodes a figure comes from, in words, and its interval over several training seeds."""
    names, seeds = ", ".join(map(file_name, figure.records)), figure.over_seeds
    words = f"record {names}; episode set {figure.records[0].identity.episode_set[:12]}"
    if seeds is None:
        return words
    return f"{words}; over {len(figure.records)} training seeds {seeds.mean:.2f} ± {seeds.half_width:.2f}"


def _title(table: Table, place: int) -> str:
    column = table.columns[place]
    return str(column) if table.by_source else column.setting


def _by_rank(table: Table, place: int) -> list[tuple[Line, Figure]]:
    """The lines that have a figure in a column."""
    setting = table.columns[place].setting
    found = [(line, figure) for line in table.lines if (figure := line.figures[place]) is not None]
    return sorted(found, key=lambda pair: pair[0].setting_ranks.get(setting, math.inf))


def _dot(line: Line, figure: Figure) -> Dot:
    kind: _Kind = "apart" if figure.rank is None else "best" if figure.best else "ranked"
    name = line.name if figure.track == "A" else f"{line.name}, track {figure.track}"
    return Dot(name, figure.mean, figure.ci95, kind, trace(figure))


def _histogram(name: str, figure: Figure) -> Histogram:
    """With equally many queries an edge for every possible accuracy, or every second, and so on."""
    accuracies = episode_accuracies(figure.records)
    totals = sorted({total for record in figure.records for total in record.total})
    width = 100 * math.ceil(totals[0] / _BINS) / totals[0] if len(totals) == 1 else _MIXED_WIDTH
    bins = np.ceil(np.round(accuracies / width, 9)).clip(min=1).astype(int) - 1
    counts = np.bincount(bins)[bins.min() :]
    edges = (min(100.0, width * (int(bins.min()) + place)) for place in range(len(counts) + 1))
    shares = tuple((counts / len(accuracies)).tolist())
    return Histogram(name, tuple(edges), shares, figure.percentile(_HARD), figure.percentile(50), trace(figure))


def _curve(record: Record) -> Curve:
    shot, training = record.identity.train_shot, record.training
    return Curve(
        kind="any shot" if shot is None else f"{shot}-shot",
        seed=record.identity.train_seed,
        looks=tuple((look.step, look.accuracy) for look in training.history),
        kept=(training.best_step, training.best_accuracy or 0.0),
    )
