from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsbench.data.listing import Hierarchy
from fsbench.data.specification import Specification, read_specification
from fsbench.errors import DataError

FLAT = {
    "name": "animals",
    "classes_per_split": {"TRAIN": 2, "VALID": 1, "TEST": 1},
    "images_per_class": {"3": 8, "0": 5, "1": 6, "2": 7},
    "class_names": {"0": "ant", "1": "bee", "2": "cat", "3": "dog"},
    "path": "/path/to/records/animals",
    "file_pattern": "{}.tfrecords",
    "__class__": "DatasetSpecification",
}
BI_LEVEL = {
    "name": "letters",
    "superclasses_per_split": {"TRAIN": 2, "VALID": 1, "TEST": 0},
    "classes_per_superclass": {"0": 1, "1": 3, "2": 2},
    "images_per_class": {str(label): 20 for label in range(6)},
    "superclass_names": {"0": "Greek", "1": "Latin", "2": "Tengwar"},
    "class_names": {str(label): f"character{label}" for label in range(6)},
    "path": "/path/to/records/letters",
    "file_pattern": "{}.tfrecords",
    "__class__": "BiLevelDatasetSpecification",
}


def graph(**children: str) -> list[dict[str, Any]]:
    """A split's graph as it is exported: `n1="n2 n3"` has two children."""
    of = {node: names.split() for node, names in children.items()}
    parents = {node: [parent for parent in of if node in of[parent]] for node in of}
    return [
        {"wn_id": node, "words": "some words", "children_ids": of[node], "parents_ids": parents[node]} for node in of
    ]


HIERARCHICAL = {
    "name": "synsets",
    "split_subgraphs": {
        "TRAIN": graph(a="", b="", c="", root="x y", x="a y", y="b c"),  # x and root both reach y
        "VALID": graph(d=""),
        "TEST": graph(e="", f="", z="f e"),
    },
    "images_per_class": {
        "TRAIN": {"root": 6, "x": 6, "y": 5, "a": 1, "b": 2, "c": 3},
        "VALID": {"d": 4},
        "TEST": {"z": 11, "e": 5, "f": 6},
    },
    "class_names": {"0": "c", "1": "b", "2": "a", "3": "d", "4": "e", "5": "f"},
    "path": "/path/to/records/synsets",
    "file_pattern": "{}.tfrecords",
    "__class__": "HierarchicalDatasetSpecification",
}


def read(tmp_path: Path, stored: object) -> Specification:
    path = tmp_path / "dataset_spec.json"
    path.write_text(json.dumps(stored))
    return read_specification(path)


def test_a_flat_specification(tmp_path: Path) -> None:
    assert read(tmp_path, FLAT) == Specification(
        name="animals",
        classes=("ant", "bee", "cat", "dog"),
        splits={"train": range(2), "val": range(2, 3), "test": range(3, 4)},
        images_per_class=(5, 6, 7, 8),
        file_pattern="{}.tfrecords",
        hierarchy=None,
    )


def test_class_names_that_are_numbers(tmp_path: Path) -> None:  # as those of Traffic Signs are
    stored = {**FLAT, "class_names": {str(label): label for label in range(4)}}
    stored["classes_per_split"] = {"TRAIN": 0, "VALID": 0, "TEST": 4}
    specification = read(tmp_path, stored)
    assert specification.classes == ("0", "1", "2", "3")
    assert specification.splits == {"train": range(0), "val": range(0), "test": range(4)}


def test_a_specification_of_two_levels(tmp_path: Path) -> None:
    specification = read(tmp_path, BI_LEVEL)
    assert specification.splits == {"train": range(4), "val": range(4, 6), "test": range(6, 6)}
    assert specification.images_per_class == (20,) * 6
    alphabets = {
        "train": [("character0",), ("character1", "character2", "character3")],
        "val": [("character4", "character5")],
        "test": [],
    }
    assert specification.hierarchy == Hierarchy("superclasses", alphabets)


def test_a_hierarchical_specification(tmp_path: Path) -> None:
    specification = read(tmp_path, HIERARCHICAL)
    assert specification.classes == ("c", "b", "a", "d", "e", "f")
    assert specification.splits == {"train": range(3), "val": range(3, 4), "test": range(4, 6)}
    assert specification.images_per_class == (3, 2, 1, 4, 5, 6)
    inner = {"train": [("c", "b", "a"), ("c", "b", "a"), ("c", "b")], "val": [], "test": [("e", "f")]}
    assert specification.hierarchy == Hierarchy("graph", inner)


def test_a_graph_may_be_deep(tmp_path: Path) -> None:
    chain = {f"n{depth}": f"n{depth + 1} m{depth}" for depth in range(1100)}  # Python's stack has 1000 frames
    leaves = {"n1100": "", **{f"m{depth}": "" for depth in range(1100)}}
    stored = copy.deepcopy(HIERARCHICAL)
    stored["split_subgraphs"]["TRAIN"] = graph(**chain, **leaves)
    stored["images_per_class"]["TRAIN"] = dict.fromkeys(leaves, 1)
    stored["class_names"] = dict(enumerate([*leaves, "d", "e", "f"]))
    hierarchy = read(tmp_path, stored).hierarchy
    assert hierarchy is not None
    assert [len(classes) for classes in hierarchy.nodes["train"]] == list(range(1101, 1, -1))


@pytest.mark.parametrize("stored", [FLAT, BI_LEVEL, HIERARCHICAL], ids=["flat", "two levels", "hierarchical"])
def test_every_key_is_needed(tmp_path: Path, stored: dict[str, Any]) -> None:
    for key in set(stored) - {"path", "superclass_names"}:
        with pytest.raises(DataError, match=rf"dataset_spec\.json is not valid \(.*{key}.*\); get a new copy"):
            read(tmp_path, {other: value for other, value in stored.items() if other != key})


def change(*keys: str, to: object) -> Callable[[dict[str, Any]], None]:
    def apply(stored: dict[str, Any]) -> None:
        for key in keys[:-1]:
            stored = stored[key]
        stored[keys[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("stored", "spoil", "complaint"),
    [
        (FLAT, change("classes_per_split", to={"TRAIN": 2, "TEST": 2}), "classes_per_split.VALID: Field required"),
        (FLAT, change("classes_per_split", "TRAIN", to=3), "class_names: 4 classes, but the splits have 5"),
        (FLAT, change("classes_per_split", "TRAIN", to=-2), "classes_per_split.TRAIN: .* greater than or equal to 0"),
        (FLAT, change("class_names", "2", to="bee"), "class_names: 'bee' stands there twice"),
        (FLAT, change("class_names", "5", to="eel"), "class_names: the id 4 is missing, or 5 is not one"),
        (FLAT, change("class_names", "x", to="eel"), "class_names.x.*: .*integer"),
        (FLAT, change("class_names", to=["ant", "bee"]), "class_names: Input should be an object"),
        (FLAT, change("images_per_class", to={"0": 1}), "images_per_class: of 1 classes, but class_names has 4"),
        (FLAT, change("images_per_class", "-1", to=1), "images_per_class: the id 0 is missing, or -1 is not one"),
        (FLAT, change("images_per_class", "1", to=0), "images_per_class.1: .* greater than 0"),
        (FLAT, change("images_per_class", "1", to={"train": 5, "test": 1}), "images_per_class.1: .*integer"),
        (FLAT, change("file_pattern", to="{}_{}.tfrecords"), "file_pattern: Input should be '{}.tfrecords'"),
        (FLAT, change("file_pattern", to="../{}.tfrecords"), "file_pattern: Input should be '{}.tfrecords'"),
        (FLAT, change("__class__", to="BenchmarkSpecification"), "'BenchmarkSpecification' .* does not match"),
        (BI_LEVEL, change("superclasses_per_split", "TEST", to=1), "superclasses_per_split: 4 in all, but .* 3"),
        (BI_LEVEL, change("classes_per_superclass", "1", to=2), "class_names: 6 classes, but the splits have 5"),
        (BI_LEVEL, change("classes_per_superclass", "4", to=2), "classes_per_superclass: the id 3 is missing"),
        (HIERARCHICAL, change("split_subgraphs", "VALID", to=graph()), "6 classes, but the splits have 5"),
        (HIERARCHICAL, change("split_subgraphs", "VALID", to=graph(q="")), "graph of val .* classes: d is in one"),
        (HIERARCHICAL, change("split_subgraphs", "VALID", to=graph(d="", q="d r")), "graph of val lacks r, a child"),
        (HIERARCHICAL, change("split_subgraphs", "VALID", to=[{"wn_id": "d"}]), "VALID.0.children_ids: Field required"),
        (HIERARCHICAL, change("split_subgraphs", "TEST", to=[*graph(e="", f="", g="e"), *graph(g="f")]), "node twice"),
        (HIERARCHICAL, change("split_subgraphs", "VALID", to=graph(d="", p="q d", q="p")), "val has the cycle . → . →"),
        (HIERARCHICAL, change("images_per_class", "TEST", to={"e": 5}), "images_per_class: none for f, a class"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    tmp_path: Path, stored: dict[str, Any], spoil: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    spoilt = copy.deepcopy(stored)
    spoil(spoilt)
    with pytest.raises(DataError, match=rf"dataset_spec\.json is not valid \(.*{complaint}.*\); get a new copy"):
        read(tmp_path, spoilt)


@pytest.mark.parametrize("text", [b"", b"[]", b"3", b'{"name": ', b"\xff", b"[" * 100_000])
def test_what_is_no_specification_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "dataset_spec.json"
    path.write_bytes(text)
    with pytest.raises(DataError, match=r"dataset_spec\.json is not valid"):
        read_specification(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset_spec\.json cannot be read \(No such file"):
        read_specification(tmp_path / "dataset_spec.json")
