"""Records and tables as data frames."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fsbench.errors import RecordError
from fsbench.record_files import RecordStore
from fsbench.report.arrange import build_table
from fsbench.report.frames import records_frame, table_frame
from helpers.factories import make_record


def test_a_folder_of_records_has_a_line_a_record_with_its_figures(tmp_path: Path) -> None:
    records = [make_record("ProtoNet", train_seed=1), make_record("k-NN", (40, 42), shot=None, source="birds")]
    for record in records:
        RecordStore(tmp_path / "records").write(record)
    frame = records_frame(tmp_path).set_index("cell")
    assert len(frame) == 2
    for record in records:
        line = frame.loc[record.cell]
        assert (line["mean"], line["ci95"], line["label"]) == (record.mean, record.ci95, record.label)
        assert (line["source"], line["seed"]) == (record.identity.source, record.identity.train_seed)
    assert frame["way"].isna().tolist() == [True, False]
    assert frame["shot"].dropna().tolist() == [1]


def test_a_folder_without_records_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there are no records"):
        records_frame(tmp_path)


def test_a_table_has_a_line_a_method_and_its_figures_below_source_and_setting() -> None:
    records = [
        make_record("k-NN", (40, 42)),
        make_record("k-NN", (50, 52), shot=5),
        make_record("ProtoNet", (60, 66), source="birds"),
    ]
    table = build_table(records)
    frame = table_frame(table)
    assert list(frame.index) == [line.name for line in table.lines]
    for line in table.lines:
        for column, figure in zip(table.columns, line.figures, strict=True):
            shown = [frame.loc[line.name, (column.source, column.setting, name)] for name in ("mean", "ci95", "rank")]
            if figure is None:
                assert all(math.isnan(value) for value in shown)
            else:
                assert shown == [figure.mean, figure.ci95, figure.rank]
