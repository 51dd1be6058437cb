"""Records in the schema of Every Eval Ever: its essential rules, and that nothing comparable is lost."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft7Validator

from fsbench.records import Pretraining, Record
from fsbench.report.every_eval_ever import EEE_SCHEMA, to_every_eval_ever
from helpers.factories import make_record

STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def _object(
    required: dict[str, Any], optional: dict[str, Any] | None = None, *, closed: bool = False
) -> dict[str, Any]:
    properties = required | (optional or {})
    found = {"type": "object", "required": list(required), "properties": properties}
    return found | {"additionalProperties": False} if closed else found


# What schema 0.3.0 demands of the fields that are written here, in words of our own.
RULES = _object(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": TEXT,
        "retrieved_timestamp": {"type": "string", "pattern": r"^\d+$"},
        "source_metadata": _object(
            {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "source_organization_name": TEXT,
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
            }
        ),
        "eval_library": _object({"name": TEXT, "version": TEXT}, {"additional_details": STRINGS}),
        "model_info": _object(
            {
                "name": TEXT,
                "id": TEXT,
                "additional_details": STRINGS
                | _object(
                    {
                        "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                        "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
                    }
                ),
            },
            {"developer": TEXT, "inference_engine": _object({}, {"name": TEXT, "version": TEXT})},
        ),
        "evaluation_results": {
            "type": "array",
            "items": _object(
                {
                    "evaluation_name": TEXT,
                    "source_data": _object(
                        {"dataset_name": TEXT, "source_type": {"const": "other"}}, {"additional_details": STRINGS}
                    ),
                    "metric_config": _object(
                        {
                            "lower_is_better": {"type": "boolean"},
                            "score_type": {"const": "continuous"},
                            "min_score": NUMBER,  # with that type of score
                            "max_score": NUMBER,
                        },
                        {
                            "metric_parameters": {
                                "type": "object",
                                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
                            }
                        },
                    ),
                    "score_details": _object(
                        {"score": NUMBER},
                        {
                            "details": STRINGS,
                            "uncertainty": _object(
                                {},
                                {
                                    "standard_error": _object({"value": NUMBER}),
                                    "confidence_interval": _object({"lower": NUMBER, "upper": NUMBER}),
                                    "standard_deviation": NUMBER,
                                    "num_samples": {"type": "integer"},
                                },
                            ),
                        },
                    ),
                },
                {"evaluation_result_id": TEXT},
            ),
        },
    },
    closed=True,
)
PATH = re.compile(
    r"data/[\w-]+/[\w-]+/[\w-]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
)


def _records() -> list[Record]:
    elsewhere = Pretraining(corpora=["imagenet-1k"], overlap="20 of 20 classes", library="timm 1.0", fingerprint=[1.0])
    return [
        make_record(shot=1, fraction=0.08),
        make_record(shot=5, train_seed=3),
        make_record("fo-MAML / 2nd: \u201cx\u201d", transductive=True),
        make_record("k-NN", shot=None),
        make_record("ridge", train_sources=[], train_shot=None).model_copy(
            update={"track": "C", "pretraining": elsewhere, "deviates": "another head"}
        ),
    ]


def _logs(records: list[Record]) -> dict[str, Any]:
    files = to_every_eval_ever(records, by="A Lab, Ltd.", time=1_795_300_000)
    return {path: json.loads(text) for path, text in files.items()}


def test_the_files_keep_the_rules_of_the_schema_and_of_the_store() -> None:
    logs = _logs(_records())
    assert EEE_SCHEMA == "0.3.0"
    assert len(logs) == 4  # one a row
    for path, log in logs.items():
        assert PATH.fullmatch(path), path
        Draft7Validator(RULES).validate(log)


def test_every_figure_keeps_what_makes_it_comparable() -> None:
    records = _records()
    results = {
        result["evaluation_result_id"]: result
        for log in _logs(records).values()
        for result in log["evaluation_results"]
    }
    assert set(results) == {record.cell for record in records}
    for record in records:
        scored = results[record.cell]["score_details"]
        details, interval = scored["details"], scored["uncertainty"]["confidence_interval"]
        assert scored["score"] == record.mean
        assert (interval["lower"] + interval["upper"]) / 2 == record.mean
        assert abs((interval["upper"] - interval["lower"]) / 2 - record.ci95) < 1e-9
        assert details["episode_set"] == record.identity.episode_set
        assert details["train_seed"] == str(record.identity.train_seed)
        assert details["transductive"] == str(record.identity.transductive).lower()
        assert details["track"] == record.track
        assert details.get("way") == (None if record.identity.way is None else "5")
    first, last = (results[records[place].cell] for place in (0, -1))
    assert first["score_details"]["details"]["deviates"] == "reduced training (8 % of the suite's length)"
    assert "reduced training" in first["metric_config"]["evaluation_description"]
    assert last["score_details"]["details"]["deviates"] == "another head"
    assert last["score_details"]["details"]["overlap"] == "20 of 20 classes"


def test_what_differs_between_the_results_of_a_row_stands_with_each() -> None:
    records = [make_record(shot=shot, params={"temperature": 10.0 * shot}) for shot in (1, 5)]
    (log,) = _logs(records).values()
    shared = log["model_info"]["additional_details"]
    assert "hyper_parameters" not in shared
    assert shared["method"] == "protonet"
    own = [result["score_details"]["details"]["hyper_parameters"] for result in log["evaluation_results"]]
    assert own == ['{"temperature": 10.0}', '{"temperature": 50.0}']


def test_who_made_a_model_is_only_claimed_of_what_was_trained_here() -> None:
    made = {
        log["model_info"]["id"]: (log["model_info"]["developer"], log["source_metadata"]["evaluator_relationship"])
        for log in _logs(_records()).values()
    }
    assert made["A-Lab-Ltd/protonet"] == ("A Lab, Ltd.", "first_party")
    assert made["A-Lab-Ltd/ridge"] == ("unknown", "third_party")


def test_the_time_is_all_that_differs_between_two_exports() -> None:
    once, again = (to_every_eval_ever(_records(), by="Us", time=time) for time in (1, 2))
    assert list(once) == list(again)
    assert [text.replace('/1"', '/2"').replace('"1"', '"2"') for text in once.values()] == [
        text.replace('"1"', '"2"') for text in again.values()
    ]


def test_weights_that_are_not_known_are_not_counted() -> None:
    """Features in files come without the network that made them."""
    trained = make_record("k-NN")
    summary = trained.training.model_copy(update={"frozen": 7})
    frozen = make_record("Frozen").model_copy(update={"training": summary})
    logs = _logs([trained, frozen, make_record("Read", backbone={"name": "features", "features": "pooled"})])
    said = [log["model_info"]["additional_details"].get("frozen_parameters") for log in logs.values()]
    assert said == ["0", "7", None]
