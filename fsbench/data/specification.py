"""Meta-Dataset's `dataset_spec.json`: classes, splits, counts and hierarchy of a source that was made into TFRecords.

Written by `to_dict` of the three specifications in google-research/meta-dataset, `meta_dataset/data/dataset_spec.py`:
flat, of two levels (Omniglot's alphabets and characters) and hierarchical (ImageNet's part of WordNet).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from fsbench.data.listing import Hierarchy
from fsbench.data.pack import SPLITS
from fsbench.errors import DataError, first_problem
from fsbench.files.reading import read_bytes

__all__ = ["Specification", "read_specification"]

_MOST_REACHED = 10_000_000  # classes, of all nodes of a graph; ImageNet's reach some ten thousand

_Item = TypeVar("_Item")
_Classes = Mapping[str, Sequence[str]]  # split to its class names, in the order of their ids


@dataclass(frozen=True)
class Specification:
    """What a source has to hold.

    Attributes:
        name: What Meta-Dataset calls the source, e.g. "ilsvrc_2012".
        classes: The class names, by id.
        splits: Split to the ids of its classes; a split may be empty.
        images_per_class: Images of every class, by id.
        file_pattern: The name of a class's file, with `{}` for its id.
        hierarchy: How classes belong together; None for a flat source.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, range]
    images_per_class: tuple[int, ...]
    file_pattern: str
    hierarchy: Hierarchy | None


def read_specification(path: Path) -> Specification:
    """Read a `dataset_spec.json`.

    Raises:
        DataError: It cannot be read, a key is missing or of the wrong type, or its parts do not fit each other.
    """
    try:
        return _specification(_STORED.validate_json(read_bytes(path)))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); get a new copy of it.") from error
    except ValidationError as error:
        raise DataError(f"{path} is not valid ({first_problem(error)}); get a new copy of it.") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid ({error}); get a new copy of it.") from error


class _PerSplit(BaseModel, Generic[_Item]):
    """A value for every split; to iterate over it gives pairs of split and value."""

    train: _Item = Field(alias="TRAIN")
    val: _Item = Field(alias="VALID")
    test: _Item = Field(alias="TEST")


class _Stored(BaseModel):
    """What all specifications have; in JSON the ids of classes are strings, and names may be numbers.

    Every kind has `sizes()`, the number of classes of every split, and, given the class names of every split,
    `images(classes)`, the images of every class by id, and `hierarchy(classes)`.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)
    name: str
    class_names: dict[NonNegativeInt, str]
    file_pattern: Literal["{}.tfrecords"]


class _Numbered(_Stored):
    images_per_class: dict[int, PositiveInt]

    def images(self, classes: _Classes) -> list[int]:
        return _by_id("images_per_class", self.images_per_class)


class _Flat(_Numbered):
    kind: Literal["DatasetSpecification"] = Field(alias="__class__")
    classes_per_split: _PerSplit[NonNegativeInt]

    def sizes(self) -> list[int]:
        return [size for _, size in self.classes_per_split]

    def hierarchy(self, classes: _Classes) -> None:
        return None


class _BiLevel(_Numbered):
    kind: Literal["BiLevelDatasetSpecification"] = Field(alias="__class__")
    superclasses_per_split: _PerSplit[NonNegativeInt]
    classes_per_superclass: dict[int, PositiveInt]

    def sizes(self) -> list[int]:
        return [sum(sizes) for sizes in self._superclasses()]

    def hierarchy(self, classes: _Classes) -> Hierarchy:
        nodes = {
            split: [members[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]
            for (split, members), sizes in zip(classes.items(), self._superclasses(), strict=True)
        }
        return Hierarchy("superclasses", nodes)

    def _superclasses(self) -> list[list[int]]:
        """The numbers of classes of every split's superclasses."""
        sizes = _by_id("classes_per_superclass", self.classes_per_superclass)
        numbers = [number for _, number in self.superclasses_per_split]
        if sum(numbers) != len(sizes):
            raise ValueError(f"superclasses_per_split: {sum(numbers):,} in all, but there are {len(sizes):,}")
        return [sizes[start:end] for start, end in pairwise(accumulate(numbers, initial=0))]


class _Node(BaseModel):
    wn_id: str
    children_ids: list[str]


class _Hierarchical(_Stored):
    kind: Literal["HierarchicalDatasetSpecification"] = Field(alias="__class__")
    split_subgraphs: _PerSplit[list[_Node]]
    images_per_class: _PerSplit[dict[str, PositiveInt]]  # of every node, inner nodes too

    def sizes(self) -> list[int]:
        return [sum(not node.children_ids for node in nodes) for _, nodes in self.split_subgraphs]

    def images(self, classes: _Classes) -> list[int]:
        images = []
        for split, counts in self.images_per_class:
            for name in classes[split]:
                if name not in counts:
                    raise ValueError(f"images_per_class: none for {name}, a class of {split}")
                images.append(counts[name])
        return images

    def hierarchy(self, classes: _Classes) -> Hierarchy:
        return Hierarchy(
            "graph", {split: _inner_nodes(split, nodes, classes[split]) for split, nodes in self.split_subgraphs}
        )


_STORED: TypeAdapter[_Flat | _BiLevel | _Hierarchical] = TypeAdapter(
    Annotated[_Flat | _BiLevel | _Hierarchical, Field(discriminator="kind")]
)


def _specification(stored: _Flat | _BiLevel | _Hierarchical) -> Specification:
    names = _by_id("class_names", stored.class_names)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"class_names: {repeated[0]!r} stands there twice")
    sizes = stored.sizes()
    if sum(sizes) != len(names):
        raise ValueError(f"class_names: {len(names):,} classes, but the splits have {sum(sizes):,}")
    ranges = [range(start, end) for start, end in pairwise(accumulate(sizes, initial=0))]
    splits = dict(zip(SPLITS, ranges, strict=True))
    classes = {split: tuple(names[ids.start : ids.stop]) for split, ids in splits.items()}
    images = stored.images(classes)
    if len(images) != len(names):
        raise ValueError(f"images_per_class: of {len(images):,} classes, but class_names has {len(names):,}")
    return Specification(
        name=stored.name,
        classes=tuple(names),
        splits=splits,
        images_per_class=tuple(images),
        file_pattern=stored.file_pattern,
        hierarchy=stored.hierarchy(classes),
    )


def _by_id(key: str, values: Mapping[int, _Item]) -> list[_Item]:
    """The values in the order of their ids, which count from 0 without gaps."""
    for number, label in enumerate(sorted(values)):
        if number != label:
            raise ValueError(f"{key}: the id {number} is missing, or {label} is not one")
    return [values[label] for label in range(len(values))]


def _inner_nodes(split: str, nodes: Sequence[_Node], classes: Sequence[str]) -> list[tuple[str, ...]]:
    """The classes that every inner node of a split's graph reaches, in the order of the nodes."""
    place = f"split_subgraphs: the graph of {split}"
    graph = {node.wn_id: node.children_ids for node in nodes}
    if len(graph) < len(nodes):
        raise ValueError(f"{place} has a node twice")
    for node, children in graph.items():
        if strangers := [child for child in children if child not in graph]:
            raise ValueError(f"{place} lacks {strangers[0]}, a child of {node}")
    labels = {name: label for label, name in enumerate(classes)}
    if strangers := sorted({node for node, children in graph.items() if not children} ^ set(labels)):
        raise ValueError(f"{place} and class_names do not have the same classes: {strangers[0]} is in one of them")
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"{place} has the cycle {' → '.join(error.args[1])}") from error
    reached: dict[str, set[str]] = {}
    total = 0
    for node in order:  # children come before their parents
        reached[node] = set().union(*(reached[child] for child in graph[node])) if graph[node] else {node}
        total += len(reached[node])
        if total > _MOST_REACHED:
            raise ValueError(f"{place} is too large: its nodes reach more than {_MOST_REACHED:,} classes")
    return [tuple(sorted(reached[node], key=labels.__getitem__)) for node in graph if graph[node]]
