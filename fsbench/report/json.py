"""A table, and a comparison, as JSON: everything of the model, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from fsbench.report.differences import Family, differences
from fsbench.report.footnote import footnote
from fsbench.report.marks import partial, reduced
from fsbench.report.table import Figure, Line, Table
from fsbench.report.wording import steady
from fsbench.verdict import Comparison, Finding

__all__ = ["COMPARISON_SCHEMA", "TABLE_SCHEMA", "comparison_to_json", "to_json"]

TABLE_SCHEMA: Final = "fsbench-table-1"
COMPARISON_SCHEMA: Final = "fsbench-comparison-1"


def to_json(table: Table) -> str:
    """Write a table: its columns, its rows with a cell for every column, and what stands under it.

    Accuracies are in percent, cells without a record null. `records` holds the ids of a cell's records by
    training seed; a record is the file whose `cell` it is. `over_seeds` is the mean of several seeds with its
    interval over other seeds. The names are otherwise those of `fsbench.report.table`, and in `differences` those of
    `fsbench.report.differences`, where a source is null over the sources of a way and shot.
    """
    return _json(
        {
            "schema": TABLE_SCHEMA,
            "suite": table.suite,
            "ranks": table.ranks,
            "reduced": reduced(table),
            "partial": partial(table),
            "columns": [asdict(column) | {"setting": column.setting} for column in table.columns],
            "rows": [_line(table, line) for line in table.lines],
            "differences": [_family(family) for family in differences(table)],
            "absent": dict(table.left_out),
            "notes": [note._asdict() for note in footnote(table)],
        }
    )


def comparison_to_json(comparison: Comparison) -> str:
    """Write a comparison: its exit code, and every finding by the names of `fsbench.verdict`."""
    return _json(
        {
            "schema": COMPARISON_SCHEMA,
            "exit_code": comparison.exit_code,
            "margin": comparison.margin,
            "strict": comparison.strict,
            "findings": [_finding(finding) for finding in comparison.findings],
        }
    )


def _line(table: Table, line: Line) -> dict[str, Any]:
    figures = zip(table.columns, line.figures, strict=True)
    return {
        "name": line.name,
        "backbone": line.backbone,
        "transductive": line.transductive,
        "reduced": line.reduced,
        "average_rank": line.average_rank,
        "setting_ranks": dict(line.setting_ranks),
        "cells": [figure and _figure(figure) | {"episode_set": column.episode_set} for column, figure in figures],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    over_seeds = figure.over_seeds
    return {
        "mean": figure.mean,
        "ci95": figure.ci95,
        "rank": figure.rank,
        "best": figure.best,
        "track": figure.track,
        "spread": figure.spread,
        "over_seeds": over_seeds and {name: steady(value) for name, value in over_seeds._asdict().items()},
        "pretraining": None if (seen := figure.records[0].pretraining) is None else seen.model_dump(),
        "train_seeds": [record.identity.train_seed for record in figure.records],
        "records": [record.cell for record in figure.records],
    }


def _family(family: Family) -> dict[str, Any]:
    pairs = [pair._asdict() for pair in family.pairs]
    return {"setting": family.setting, "source": family.source, "tracks": list(family.tracks), "pairs": pairs}


def _finding(finding: Finding) -> dict[str, Any]:
    base, new = finding.records
    difference = finding.difference
    return {
        "subject": finding.subject,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "cell": finding.place and finding.place._asdict(),
        "base": finding.base and steady(finding.base),
        "new": finding.new and steady(finding.new),
        "difference": difference and {name: steady(value) for name, value in difference._asdict().items()},
        "over": finding.over,
        "records": {"base": base, "new": new},
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
