"""The table: methods × (source, way, shot), with intervals and ranks.

Every format is written from this one model, so that no two of them can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from fsbench.records import Record, Track
from fsbench.setting import setting_of
from fsbench.stats.intervals import Interval, mean_ci
from fsbench.stats.paired import episode_accuracies

__all__ = ["Column", "Figure", "Line", "RankRule", "Table"]

RankRule: TypeAlias = Literal["metadataset", "paired"]


@dataclass(frozen=True)
class Column:
    """What is measured: one test source, way and shot, and the episodes that all rows share."""

    source: str
    way: int | None  # None: way, shot and queries vary from episode to episode
    shot: int | None
    queries: int | None  # per class
    episodes: int
    split: str
    sampler: str
    episode_seed: int
    episode_set: str  # as in `CellIdentity`
    pack: str = field(compare=False)  # digest; like size and channels of the first record: rows may see other ones
    partial: str | None  # what is missing from an incomplete source
    image_size: int = field(compare=False)  # pixels, both ways
    channels: int = field(compare=False)
    tracks: Literal["apart", "shared", "unknown"] | None  # of support and query; None: a source without tracks
    classes_left_out: int  # having too few images

    @property
    def setting(self) -> str:
        """Way and shot, in words."""
        return setting_of(self.way, self.shot)

    def __str__(self) -> str:
        return f"{self.source} {self.setting}"


@dataclass(frozen=True)
class Figure:
    """One number of the table, and the records that it comes from.

    Attributes:
        mean: Accuracy over the episodes, percent; with several training seeds, of the accuracy that an
            episode has on average over the seeds.
        ci95: Half width of its 95 % confidence interval, percent.
        rank: Among the inductive rows of its track in the column, by the rule of the table; None for a transductive
            row.
        best: Whether no inductive row of its track in the column is significantly better than this inductive one: the
            best mean, and those tied with it by `fsbench.stats.paired.paired_ranks`, whatever the rule of the table.
        spread: Sample standard deviation between the means of several training seeds, percent; else None.
        records: One a training seed, ascending.
    """

    mean: float
    ci95: float
    rank: float | None
    best: bool
    spread: float | None
    records: tuple[Record, ...]

    @property
    def track(self) -> Track:
        """What its weights may have seen of the test classes; only figures of one track are compared."""
        return self.records[0].track

    @property
    def over_seeds(self) -> Interval | None:
        """The mean of the training seeds' means and its 95 % interval over other seeds, percent; None for one seed."""
        return mean_ci(record.mean for record in self.records) if len(self.records) > 1 else None

    def percentile(self, percent: float) -> float:
        """The accuracy that so many percent of the episodes do not exceed, percent: at 5 or 10 the hard ones.

        With several training seeds, of the accuracy that an episode has on average over them.
        """
        return float(np.percentile(episode_accuracies(self.records), percent))


@dataclass(frozen=True)
class Line:
    """A row of the suite with all its figures.

    Attributes:
        name: Unique within the table; ends with "(transductive)" where the row is.
        backbone: Its name, e.g. "Conv4-64".
        transductive: Whether a query's answer may depend on the other queries.
        figures: One a column of the table; None where there is no record.
        average_rank: Mean of the ranks over all columns; None when the row is not ranked in all of them, or shares its
            track with another row in some columns and not in others.
        setting_ranks: The same over the columns of one setting, for every setting where the row has it.
    """

    name: str
    backbone: str
    transductive: bool
    figures: tuple[Figure | None, ...]
    average_rank: float | None
    setting_ranks: Mapping[str, float]

    @property
    def records(self) -> tuple[Record, ...]:
        """All records of the row, by column and training seed."""
        return tuple(record for figure in self.figures if figure is not None for record in figure.records)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What its weights may have seen of the test classes, over all columns."""
        return tuple(sorted({record.track for record in self.records}))

    @property
    def deviates(self) -> str | None:
        """In what the training deviates from that of the method's paper, where its suite says so."""
        return "; ".join(dict.fromkeys(record.deviates for record in self.records if record.deviates)) or None

    @property
    def reduced(self) -> bool:
        """Whether a model of the row was trained for another length than the suite states."""
        return any(record.identity.training_fraction != 1 for record in self.records)


@dataclass(frozen=True)
class Table:
    """A suite's results.

    Attributes:
        suite: Its name.
        columns: By shot, then way, then source in the order given; after them those of all classes, and those of
            variable way and shot last.
        lines: In the order given.
        left_out: The sources of the suite that were left out and measured in no column, and why.
        ranks: The rule of the ranks: Meta-Dataset's, or the same with paired tests.
    """

    suite: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    left_out: Mapping[str, str]
    ranks: RankRule

    @property
    def sources(self) -> tuple[str, ...]:
        """The test sources: those with columns, then those left out."""
        return tuple(dict.fromkeys([*(column.source for column in self.columns), *self.left_out]))

    @property
    def settings(self) -> tuple[str, ...]:
        """The ways and shots, in words, in the order of the columns."""
        return tuple(dict.fromkeys(column.setting for column in self.columns))

    def complete(self, setting: str | None = None) -> dict[str, tuple[Figure, ...]]:
        """The inductive rows without a gap, by name, with their figures: what may be compared over sources.

        Args:
            setting: Only its columns count; None: all columns.
        """
        indices = [index for index, column in enumerate(self.columns) if setting in (None, column.setting)]
        inductive = (line for line in self.lines if not line.transductive)
        figures = {line.name: tuple(line.figures[index] for index in indices) for line in inductive}
        return {name: tuple(filter(None, row)) for name, row in figures.items() if None not in row}

    def by_rank(self) -> Table:
        """The same, one track after the other, the best average rank first, and the transductive rows last."""

        def order(line: Line) -> tuple[bool, tuple[Track, ...], bool, float]:
            return line.transductive, line.tracks, line.average_rank is None, line.average_rank or 0.0

        return replace(self, lines=tuple(sorted(self.lines, key=order)))

    def comparable(self, setting: str | None = None) -> list[dict[str, tuple[Figure, ...]]]:
        """As `complete`, but apart by the tracks of the figures: only rows of one group may be compared."""
        groups: dict[tuple[Track, ...], dict[str, tuple[Figure, ...]]] = {}
        for name, figures in self.complete(setting).items():
            groups.setdefault(tuple(figure.track for figure in figures), {})[name] = figures
        return list(groups.values())

    @property
    def external(self) -> bool:
        """Whether any figure is of another track than A."""
        return any(record.track != "A" for record in self.records)

    @property
    def several_seeds(self) -> bool:
        """Whether any of its figures is a mean over several training seeds."""
        return any(figure is not None and figure.spread is not None for line in self.lines for figure in line.figures)

    @property
    def by_source(self) -> bool:
        """Whether it is printed with test sources below each other and methods side by side."""
        return len(self.sources) > 1

    @property
    def line_noun(self) -> str:
        """What a reader sees the figures of a line as."""
        return "method" if self.by_source else "row"

    @property
    def column_noun(self) -> str:
        """What a reader sees the figures of a column as."""
        return "row" if self.by_source else "column"

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, by row, column and training seed."""
        return tuple(record for line in self.lines for record in line.records)
