"""From records to the table: what belongs into one column, what is ranked with what, and what does not fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Final

import numpy as np

from fsbench.errors import RecordError
from fsbench.records import Record, Track
from fsbench.report.names import row_names
from fsbench.report.table import Column, Figure, Line, RankRule, Table
from fsbench.stats.intervals import Interval, mean_ci
from fsbench.stats.paired import episode_accuracies, paired_ranks
from fsbench.stats.ranks import average_ranks, metadataset_ranks

__all__ = ["build_table", "column_of", "measure", "of_one_recipe"]

_DECIMALS: Final = 6  # kept of every figure, so that the ranks are those of the figures in table.csv


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
            another pack within a column, a cell twice, a cell of seeds with different settings, or a row that is more
            than one method or backbone.
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


def of_one_recipe(records: Sequence[Record]) -> bool:
    """Whether records of a row and column differ in their training seed alone, as far as they tell."""
    first = records[0]
    alike = all(
        record.track == first.track and record.identity.but_for_seed == first.identity.but_for_seed
        for record in records[1:]
    )
    return alike and len({record.known_recipe for record in records} - {None}) <= 1


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
        if not of_one_recipe(by_seed):
            seeds = ", ".join(str(seed) for seed in sorted(record.identity.train_seed for record in by_seed))
            raise RecordError(
                f"{label} on {column} has training seeds {seeds} of different settings, which have no mean; run them "
                "again with one, or delete the records of the others."
            )
