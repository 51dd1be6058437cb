"""Records and tables as data frames, to work on in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsbench.report.reading import records_of
from fsbench.report.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["records_frame", "table_frame"]


def records_frame(folder: str | Path) -> DataFrame:
    """The records of an out folder, one line a record, ordered as in its table.

    The columns are suite, row, label, backbone, train_source, source, way, shot, queries, episodes, seed, mean, ci95,
    transductive, track, training_fraction, steps, validation, parameters, device and cell. Accuracies are in percent;
    way, shot and queries are missing (`<NA>`) where they vary from episode to episode.

    Args:
        folder: The out folder of a run, in which `records/` lies.

    Raises:
        RecordError: There is no record, or one is damaged.
    """
    from pandas import DataFrame

    frame = DataFrame(
        {
            "suite": record.identity.suite,
            "row": record.identity.row,
            "label": record.label,
            "backbone": record.backbone_label,
            "train_source": "+".join(record.identity.train_sources),
            "source": record.identity.source,
            "way": record.identity.way,
            "shot": record.identity.shot,
            "queries": record.identity.queries,
            "episodes": record.identity.episodes,
            "seed": record.identity.train_seed,
            "mean": record.mean,
            "ci95": record.ci95,
            "transductive": record.identity.transductive,
            "track": record.track,
            "training_fraction": record.identity.training_fraction,
            "steps": record.training.steps,
            "validation": record.training.best_accuracy,
            "parameters": record.training.parameters,
            "device": record.environment.device,
            "cell": record.cell,
        }
        for record in records_of(Path(folder))
    )
    return frame.astype(dict.fromkeys(("way", "shot", "queries"), "Int64"))


def table_frame(table: Table) -> DataFrame:
    """A table as one line a method and, below every source and setting, the columns mean, ci95 and rank.

    The columns have three levels: source, setting (as in "5-way 1-shot") and figure. A missing figure is NaN.
    """
    from pandas import DataFrame, Index, MultiIndex

    lines = [
        [
            value
            for figure in line.figures
            for value in ((figure.mean, figure.ci95, figure.rank) if figure else (None, None, None))
        ]
        for line in table.lines
    ]
    heads = [(column.source, column.setting, name) for column in table.columns for name in ("mean", "ci95", "rank")]
    columns = MultiIndex.from_tuples(heads, names=["source", "setting", "figure"])
    return DataFrame(lines, Index([line.name for line in table.lines], name="method"), columns, dtype=float)
