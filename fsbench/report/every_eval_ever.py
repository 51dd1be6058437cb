"""Records in the schema of Every Eval Ever: one JSON file a row, with a result for every record.

Schema 0.3.0, `every_eval_ever/schemas/eval.schema.json` of the package every-eval-ever 0.3.0, and its rules for where a
file lies; https://github.com/evaleval/every_eval_ever. What has no field of its own there stands in
`additional_details` and `details`, whose values are strings.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import numpy as np

from fsbench.backbones.specification import FEATURES
from fsbench.records import Record
from fsbench.report.comparable import comparable, deviations, task_name
from fsbench.report.wording import listed
from fsbench.setting import row_label
from fsbench.text import path_part

__all__ = ["EEE_SCHEMA", "to_every_eval_ever"]

EEE_SCHEMA: Final = "0.3.0"


def to_every_eval_ever(records: Iterable[Record], *, by: str, time: int) -> dict[str, str]:
    """Write a file for every row of a suite.

    Args:
        records: Of one run or of several.
        by: Who measured it, a person or an organisation; also the developer of what was trained here.
        time: When this is written, seconds since 1970; the only part that differs between two exports.

    Returns:
        Path, `data/SUITE/DEVELOPER/ROW/UUID.json`, to JSON text. The UUID follows from the records.
    """
    rows: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        rows.setdefault((record.identity.suite, record.identity.row), []).append(record)
    files = {}
    for (suite, row), found in rows.items():
        model = f"{path_part(by)}/{path_part(row)}"
        log = _log(found, by=by, model=model, time=time)
        name = uuid.UUID(bytes=sha256("".join(record.cell for record in found).encode()).digest()[:16], version=4)
        text = json.dumps(log, indent=1, ensure_ascii=False, allow_nan=False)
        files[f"data/{path_part(suite)}/{model}/{name}.json"] = text + "\n"
    return files


def _log(records: Sequence[Record], *, by: str, model: str, time: int) -> dict[str, Any]:
    first = records[0]
    identity = first.identity
    return {
        "schema_version": EEE_SCHEMA,
        "evaluation_id": f"{path_part(identity.suite)}/{model}/{time}",
        "retrieved_timestamp": str(time),
        "source_metadata": {
            "source_name": f"fsbench, suite {identity.suite}",
            "source_type": "evaluation_run",
            "source_organization_name": by,
            # Who runs a suite also trains its rows, but not a backbone that comes from elsewhere.
            "evaluator_relationship": "first_party" if first.pretraining is None else "third_party",
        },
        "eval_library": {
            "name": "fsbench",
            "version": listed(record.environment.fsbench for record in records),
            "additional_details": _strings({"engine": identity.engine}),
        },
        "model_info": {
            "name": f"{row_label(first.label, transductive=identity.transductive)}, {first.backbone_label}",
            "id": model,
            "developer": by if first.pretraining is None else "unknown",
            "inference_engine": {"name": "torch", "version": listed(record.environment.torch for record in records)},
            "additional_details": _shared(list(map(_model, records))),
        },
        "evaluation_results": [_result(record) for record in records],
    }


def _model(record: Record) -> dict[str, str]:
    identity, seen = record.identity, record.pretraining
    return {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",
        **_strings(
            {
                "method": identity.method,
                "hyper_parameters": json.dumps(identity.params, sort_keys=True, ensure_ascii=False),
                "backbone": json.dumps(identity.backbone, sort_keys=True, ensure_ascii=False),
                "transductive": identity.transductive,
                "trained_parameters": record.training.parameters,
                # Features in files come without the network that made them.
                "frozen_parameters": None if identity.backbone.get("name") == FEATURES else record.training.frozen,
                "pretrained_on": None if seen is None else ", ".join(seen.corpora) or "unknown",
            }
        ),
    }


def _shared(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is the same in all of them."""
    return {name: value for name, value in each[0].items() if all(other.get(name) == value for other in each)}


def _result(record: Record) -> dict[str, Any]:
    identity, accuracies = record.identity, record.accuracies
    deviation = float(np.std(accuracies, ddof=1))
    setting = {"way": identity.way, "shot": identity.shot, "queries": identity.queries, "episodes": identity.episodes}
    machine = {"device": record.environment.device, "commit": record.environment.commit}
    overlap = None if record.pretraining is None else record.pretraining.overlap
    return {
        "evaluation_result_id": record.cell,
        "evaluation_name": task_name(record),
        "source_data": {
            "dataset_name": identity.source,
            "source_type": "other",
            "additional_details": _strings({"split": identity.split, "pack": identity.pack}),
        },
        "metric_config": {
            "evaluation_description": f"Mean accuracy over {identity.episodes:,} episodes"
            + (f"; {text}" if (text := deviations(record)) else ""),
            "metric_id": "accuracy",
            "metric_name": "Accuracy",
            "metric_kind": "accuracy",
            "metric_unit": "percent",
            "metric_parameters": setting,
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 100,
        },
        "score_details": {
            "score": record.mean,
            "details": _model(record) | _strings({**comparable(record), "overlap": overlap, **machine}),
            "uncertainty": {
                "standard_error": {"value": deviation / math.sqrt(identity.episodes), "method": "analytic"},
                "confidence_interval": {
                    "lower": record.mean - record.ci95,
                    "upper": record.mean + record.ci95,
                    "confidence_level": 0.95,
                    "method": "Student's t over the episodes",
                },
                "standard_deviation": deviation,
                "num_samples": identity.episodes,
            },
        },
    }


def _strings(values: Mapping[str, object]) -> dict[str, str]:
    """What is said of it, as strings: those of JSON for numbers and truth values."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }
