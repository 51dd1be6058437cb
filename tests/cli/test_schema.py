"""The printed schemas are those of the suites that come with fsbench and of the committed records."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from fsbench.cli.main import main
from helpers.factories import make_record

ROOT = Path(__file__).parents[2]


def schema(kind: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["schema", kind])
    assert (result.exit_code, result.exception) == (0, None)
    found: dict[str, Any] = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "fsbench/suites").glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_fits_its_schema(path: Path) -> None:
    jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), schema("suite"))


@pytest.mark.parametrize(
    "text", ['nam = "x"', "[episodes]\nway = 1", '[methods.a]\nmethod = "proto"\ntraining = { kind = "epochs" }']
)
def test_a_wrong_suite_does_not(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), schema("suite"))


def test_committed_records_fit_theirs() -> None:
    paths = sorted((ROOT / "results/omniglot/records").glob("*.json"))
    assert paths
    for path in paths:
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema("record"))


@pytest.mark.parametrize("key", ["correct", "total"])
@pytest.mark.parametrize("value", ["x", ["x"], [0.5], 3])
def test_counts_that_are_no_whole_numbers_do_not(key: str, value: object) -> None:
    record = make_record().model_dump(mode="json") | {"checksum": ""}
    jsonschema.validate(record, schema("record"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record | {key: value}, schema("record"))
