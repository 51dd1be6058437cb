"""The table: records arranged as methods × (source, way, shot), with intervals and ranks.

Every format is written from this one model, so that no two of them can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, TypeAlias

import numpy as np

from fsbench.errors import RecordError
from fsbench.records import Record, Track
from fsbench.report.names import row_names
from fsbench.setting import setting_of
from fsbench.stats.intervals import Interval, mean_ci
from fsbench.stats.paired import episode_accuracies, paired_ranks
from fsbench.stats.ranks import average_ranks, metadataset_ranks

__all__ = ["Column", "Figure", "Line", "RankRule", "Table", "build_table", "column_of", "measure"]

RankRule: TypeAlias = Literal["metadataset", "paired"]

_DECIMALS = 6  # kept of every figure, so that the ranks are those of the figures in table.csv


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
    def records(self) -> tuple[Record, ...]:
        """All records, by row, column and training seed."""
        return tuple(record for line in self.lines for record in line.records)


def build_table(records: Sequence[Record], *, ranks: RankRule = "metadataset") -> Table:
    """Arrange records of one suite as a table.

    Rows and sources keep the order in which they first appear; nothing else depends on the order of the
    records. Ranks are given among the inductive rows: a transductive row also uses the other queries of an
    episode, so it is not compared with them.

    Args:
        records: At least one.
        ranks: "metadataset" for `metadataset_ranks`, "paired" for `fsbench.stats.paired.paired_ranks`.

    Raises:
        RecordError: There is no record, or they do not belong side by side: other suites, other episodes or
            another pack within a column, a cell twice, or a row that is more than one method or backbone.
    """
    suites = sorted({record.identity.suite for record in records})
    if len(suites) != 1:
        raise RecordError(f"a table holds the records of one suite, not of {', '.join(suites) or 'none'}.")
    sources = list(dict.fromkeys(record.identity.source for record in records))
    columns: dict[tuple[bool, bool, int, int, int], Column] = {}
    packs: dict[tuple[Column, object], str] = {}
    rows: dict[str, dict[Column, list[Record]]] = {}
    for record in records:
        identity = record.identity
        kind = (identity.shot is None, identity.way is None)
        order = (*kind, identity.shot or 0, identity.way or 0, sources.index(identity.source))
        measured = column_of(record)
        column = columns.setdefault(order, measured)
        seen = identity.images.get("enlarged_from", identity.images["size"]) if identity.by_content else None
        if measured != column or packs.setdefault((column, seen), identity.pack) != identity.pack:
            raise _not_alike(record, measured, column)
        rows.setdefault(identity.row, {}).setdefault(column, []).append(record)
    for by_column in rows.values():
        _check_row(by_column)
        for by_seed in by_column.values():
            by_seed.sort(key=lambda record: record.identity.train_seed)
    ordered = tuple(columns[order] for order in sorted(columns))
    return Table(suites[0], ordered, _lines(rows, ordered, ranks), _left_out(records, sources), ranks)


def measure(records: Sequence[Record]) -> Interval:
    """Mean accuracy of one or more training seeds on the same episodes, and its 95 % interval, percent.

    The accuracy of an episode is averaged over the seeds first, so n stays the number of episodes.
    """
    mean, half_width = mean_ci(episode_accuracies(records))
    return Interval(round(mean, _DECIMALS), round(half_width, _DECIMALS))


def column_of(record: Record) -> Column:
    """The column that a record belongs into; equal columns have the same episodes."""
    identity = record.identity
    return Column(
        source=identity.source,
        way=identity.way,
        shot=identity.shot,
        queries=identity.queries,
        episodes=identity.episodes,
        split=identity.split,
        sampler=identity.sampler,
        episode_seed=identity.episode_seed,
        episode_set=identity.episode_set,
        pack=identity.pack,
        partial=identity.partial,
        image_size=identity.images["size"],
        channels=identity.images["channels"],
        tracks=identity.tracks,
        classes_left_out=identity.classes_left_out,
    )


def _lines(
    records: Mapping[str, Mapping[Column, Sequence[Record]]], columns: Sequence[Column], rule: RankRule
) -> tuple[Line, ...]:
    """Measure and rank. The records come by the key of their row, then by column, sorted by training seed."""
    first = {row: next(iter(by_column.values()))[0] for row, by_column in records.items()}
    intervals = {row: {c: measure(seeds) for c, seeds in by_column.items()} for row, by_column in records.items()}
    best: dict[Column, set[str]] = {}
    ranks: dict[Column, dict[str, float]] = {}
    for column in columns:
        best[column], ranks[column] = set(), {}
        for ranked in _by_track(records, column):
            tests = paired_ranks({row: records[row][column] for row in ranked})
            means = {row: intervals[row][column].mean for row in ranked}
            ci95 = {row: intervals[row][column].half_width for row in ranked}
            best[column] |= {row for row in ranked if tests[row] == min(tests.values())}
            ranks[column] |= metadataset_ranks(means, ci95) if rule == "metadataset" else tests
    tracks = {
        row: {column: by_seed[0].track for column, by_seed in by_column.items()} for row, by_column in records.items()
    }
    steady = {row for row in records if not first[row].identity.transductive and _has_steady_peers(row, tracks)}

    def figure(row: str, column: Column) -> Figure | None:
        if column not in intervals[row]:
            return None
        by_seed = tuple(records[row][column])
        return Figure(
            mean=intervals[row][column].mean,
            ci95=intervals[row][column].half_width,
            rank=ranks[column].get(row),
            best=row in best[column],
            spread=_spread(by_seed) if len(by_seed) > 1 else None,
            records=by_seed,
        )

    names = row_names(first)
    kept = {column: {row: rank for row, rank in by_row.items() if row in steady} for column, by_row in ranks.items()}
    averages = average_ranks({str(column): by_row for column, by_row in kept.items()})
    by_setting = {
        setting: average_ranks({str(column): by_row for column, by_row in kept.items() if column.setting == setting})
        for setting in dict.fromkeys(column.setting for column in columns)
    }
    return tuple(
        Line(
            name=names[row],
            backbone=record.backbone_label,
            transductive=record.identity.transductive,
            figures=tuple(figure(row, column) for column in columns),
            average_rank=averages.get(row),
            setting_ranks={setting: by_row[row] for setting, by_row in by_setting.items() if row in by_row},
        )
        for row, record in first.items()
    )


def _by_track(records: Mapping[str, Mapping[Column, Sequence[Record]]], column: Column) -> list[list[str]]:
    """The inductive rows of a column, those of one track together: what is ranked."""
    groups: dict[Track, list[str]] = {}
    for row, by_column in records.items():
        by_seed = by_column.get(column, ())
        if by_seed and not by_seed[0].identity.transductive:
            groups.setdefault(by_seed[0].track, []).append(row)
    return list(groups.values())


def _has_steady_peers(row: str, tracks: Mapping[str, Mapping[Column, Track]]) -> bool:
    """Whether a row shares its track with any other row in all columns that both have, or in none."""
    own = tracks[row]
    return all(
        len({own[column] == other[column] for column in own if column in other}) <= 1 for other in tracks.values()
    )


def _left_out(records: Sequence[Record], measured: Sequence[str]) -> dict[str, str]:
    """Why sources were left out that no record measures, every reason once, whatever the order of the records."""
    reasons: dict[str, set[str]] = {}
    for name, reason in (item for record in records for item in record.absent.items()):
        if name not in measured:
            reasons.setdefault(name, set()).add(reason)
    return {name: "; ".join(sorted(several)) for name, several in reasons.items()}


def _spread(records: Sequence[Record]) -> float:
    """Sample standard deviation between the means of several training seeds, percent."""
    return round(float(np.std([record.mean for record in records], ddof=1)), _DECIMALS)


def _not_alike(record: Record, measured: Column, column: Column) -> RecordError:
    """That a record was not measured on what its column measures."""
    differing = [part for part in fields(Column) if getattr(measured, part.name) != getattr(column, part.name)]
    name = next((part.name for part in differing if part.compare), "pack")
    return RecordError(
        f"{record.label} on {column} has {name} {getattr(measured, name)!r} where others have "
        f"{getattr(column, name)!r}, so they cannot be compared; delete the record that is out of place, "
        "or run into another folder."
    )


def _check_row(by_column: Mapping[Column, Sequence[Record]]) -> None:
    """Refuse a row that is more than one method or backbone, and a cell that is there twice."""
    own = [record for by_seed in by_column.values() for record in by_seed]
    kinds = {(record.identity.method, record.identity.transductive, record.backbone_label) for record in own}
    label = own[0].label
    if len(kinds) > 1:
        raise RecordError(
            f"the row {label} holds records of different methods or backbones; delete those of one, or run into "
            "another folder."
        )
    for column, by_seed in by_column.items():
        seed, times = Counter(record.identity.train_seed for record in by_seed).most_common(1)[0]
        if times > 1:
            raise RecordError(f"{label} on {column} has {times} records with training seed {seed}; keep one of them.")
