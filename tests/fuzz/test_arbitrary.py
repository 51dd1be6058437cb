"""Whatever Hypothesis makes up: every reader refuses it in its own kind of error, or reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsbench.data.coco import read_labels
from fsbench.data.images import decode_image
from fsbench.data.pack_files import load_pack
from fsbench.data.sources.folder import read_rule
from fsbench.data.specification import read_specification
from fsbench.data.tfrecords import index_records, parse_example
from fsbench.engine.checkpoints import load_checkpoint
from fsbench.episodes.files import read_episodes
from fsbench.errors import FsbenchError
from fsbench.files.toml import parse_toml
from fsbench.files.tree import open_tree
from fsbench.record_files import read_record
from fsbench.report.contribution import read_contribution
from fsbench.report.ranking import rank_file
from fsbench.suite_files import load_suite

pytestmark = pytest.mark.slow

_FRACTIONS = (0.6, 0.2, 0.2)
_BYTES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "checkpoint": ("a.safetensors", load_checkpoint),
    "episodes": ("e.npz", read_episodes),
    "image": ("a.png", lambda path: decode_image(path.read_bytes(), "it", size=8, channels=3)),
    "records": ("0.tfrecords", index_records),
    "example": ("0.example", lambda path: parse_example(path.read_bytes(), "it")),
    "zip": ("a.zip", lambda path: open_tree(path).__enter__()),
    "ranks": ("a.csv", rank_file),
    "contribution": ("contribution.toml", lambda path: read_contribution(path.parent)),
    "suite": ("a.toml", lambda path: load_suite(str(path))),
}
_JSON: dict[str, tuple[str, Callable[[Path], object]]] = {
    "episodes": ("e.json", read_episodes),
    "record": ("r.json", read_record),
    "pack": ("pack.json", lambda path: load_pack(path.parent)),
    "split list": ("splits.json", lambda path: read_rule(path, _FRACTIONS, 0)),
    "specification": ("dataset_spec.json", read_specification),
    "labels": ("train.json", read_labels),
}
_KEYS = st.sampled_from(
    [
        *(
            "schema_version",
            "checksum",
            "identity",
            "digest",
            "schema",
            "classes",
            "support",
            "query",
            "order",
            "offsets",
        ),
        *("train", "val", "test", "images", "categories", "annotations", "__class__", "class_names", "episode_set"),
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=6),
    max_leaves=12,
)
_SETTINGS = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("reader", _BYTES)
@_SETTINGS
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(tmp_path: Path, reader: str, content: bytes) -> None:
    name, read = _BYTES[reader]
    (tmp_path / name).write_bytes(content)
    with suppress(FsbenchError):
        read(tmp_path / name)


@pytest.mark.parametrize("reader", _JSON)
@_SETTINGS
@given(content=_VALUES | st.dictionaries(_KEYS, _VALUES))
def test_any_json(tmp_path: Path, reader: str, content: Any) -> None:
    name, read = _JSON[reader]
    (tmp_path / name).write_text(json.dumps(content))
    with suppress(FsbenchError):
        read(tmp_path / name)


@_SETTINGS
@given(text=st.text(alphabet="a.=[]{}\"'#\n1 ", max_size=80))
def test_any_toml(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_toml(text), dict)


def test_ordinary_toml_may_have_many_dots_in_its_strings() -> None:
    assert parse_toml(f"a = ['{'x.' * 1000}']  # {'.' * 1000}\nb.c = 1.5") == {"a": ["x." * 1000], "b": {"c": 1.5}}
