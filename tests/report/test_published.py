"""Published results beside ours: which of them stand beside which cell, and what is said of the two."""

from __future__ import annotations

from typing import Any

import pytest

from fsbench.methods.registry import METHODS
from fsbench.published.results import load_reported
from fsbench.records import Record
from fsbench.report.arrange import build_table
from fsbench.report.published import PUBLISHED_AS, Match, beside
from helpers.factories import make_record

VARIABLE = {"shot": None, "train_sources": ["ilsvrc_2012"]}


def _matches(*records: Record) -> tuple[Match, ...]:
    return beside(build_table(records))


def _figures(*records: Record) -> list[str]:
    return [
        f"{match.published.method} {match.published.figure} {match.published.marks}" for match in _matches(*records)
    ]


def _proto(**facts: Any) -> Record:
    return make_record("ProtoNet", method="proto", **facts)


def test_every_method_of_ours_is_in_the_mapping_and_every_name_of_it_is_published() -> None:
    assert {*PUBLISHED_AS} >= {info.name for info in METHODS}
    published = {result.method for result in load_reported()}
    assert {name for names in PUBLISHED_AS.values() for name in names} <= published


def test_source_way_shot_and_method_are_the_same() -> None:
    found = ["ProtoNet 98.8 ", "ProtoNet (re-impl.) 98.5 ± 0.2 ", "ProtoNet (re-impl.) 98.2 ‡"]
    assert _figures(_proto()) == found
    assert _figures(_proto(way=20))[0] == "ProtoNet 96.0 "
    assert _figures(_proto(shot=5))[0] == "ProtoNet 99.7 "


@pytest.mark.parametrize(
    "facts",
    [
        {"shot": 3},
        {"way": 7},
        {"source": "glyphs"},
        {"split": "val"},
        {"train_sources": ["quickdraw"]},
        {"train_sources": ["omniglot", "quickdraw"]},
        {"shot": None},
    ],
)
def test_nothing_else_is_beside(facts: dict[str, Any]) -> None:
    assert _figures(_proto(**facts)) == []


def test_a_method_of_ones_own_has_nothing_beside_it_whatever_its_label() -> None:
    assert _figures(make_record("ProtoNet", method="mine.py:ProtoNet")) == []


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        ("Conv4-64", {"Conv4-64", "Conv64F", "Conv4"}),
        ("Conv4-32", {"Conv4-64", "Conv64F", "Conv4"}),
        ("ResNet-18", {"ResNet-18"}),
        ("ResNet-18 (width 32)", {"ResNet-18"}),
        ("ViT", {"Conv4-64", "Conv64F", "Conv4", "Conv6", "ResNet-10", "ResNet-12", "ResNet-18", "ResNet-34"}),
    ],
)
def test_the_same_kind_of_backbone_comes_before_others(backbone: str, names: set[str]) -> None:
    record = _proto(source="miniimagenet").model_copy(update={"backbone_label": backbone})
    assert {match.published.backbone for match in _matches(record)} == names


def test_a_row_that_is_trained_on_5_ways_stands_beside_such_trainings_alone() -> None:
    record = make_record("ProtoNet", row="proto-5way", method="proto", source="miniimagenet", shot=5)
    found = _matches(record)
    assert {match.published.method for match in found} == {
        *("ProtoNet (5-way training)", "ProtoNet (trained 5-way 5-shot)", "ProtoNet (CloserLook)")
    }
    assert not any("trained on 20 ways" in match.published.source for match in found)


def test_transductive_results_stand_beside_the_transductive_row_where_there_is_one() -> None:
    inductive = make_record("RelationNet", method="relation")
    transductive = make_record("RelationNet", method="relation-transductive", transductive=True)
    assert [match.line.transductive for match in _matches(inductive)] == [False]
    both = _matches(inductive, transductive)
    assert [(match.line.name, match.published.marks) for match in both] == [("RelationNet (transductive)", "†‡")]
    closer = [
        make_record(record.label, source="miniimagenet", method=record.identity.method, transductive=transductive)
        for record, transductive in ((inductive, False), (transductive, True))
    ]
    assert [(match.line.transductive, match.published.transductive) for match in _matches(*closer)] == [
        (False, False),
        (True, True),
        (True, True),
    ]


def test_results_of_the_variable_protocol_stand_beside_that_alone_and_are_marked() -> None:
    fixed = _proto(source="aircraft", train_sources=["ilsvrc_2012"])
    assert _figures(fixed) == []
    assert _figures(_proto(source="aircraft", **VARIABLE)) == ["ProtoNet 53.10 ± 1.00 ‡"]
    every = ["ilsvrc_2012", "omniglot:metadataset", "aircraft", "cu_birds", "dtd", "quickdraw", "fungi", "vgg_flower"]
    everywhere = _proto(source="aircraft", shot=None, train_sources=every[::-1])
    assert _figures(everywhere) == ["ProtoNet 71.14 ± 0.86 ‡"]
    assert _figures(_proto(source="aircraft", shot=None, train_sources=every[1:])) == []


def test_they_come_by_row_column_and_file() -> None:
    records = [
        make_record(label, method=method, source="miniimagenet", shot=shot)
        for label, method in (("k-NN", "knn"), ("ProtoNet", "proto"))
        for shot in (1, 5)
    ]
    found = [(match.line.name, match.column.shot) for match in _matches(*records)]
    assert found == sorted(found, key=lambda place: (place[0] == "ProtoNet", place[1]))
    proto = [match.published for match in _matches(*records) if match.line.name == "ProtoNet"]
    order = [result for result in load_reported("miniimagenet") if result in proto]
    assert sorted(order, key=lambda result: result.shot or 0) == proto


def test_a_gap_has_nothing_beside_it() -> None:
    records = [_proto(), _proto(shot=5), make_record("MatchingNet", method="matching")]
    assert {(match.line.name, match.column.shot) for match in _matches(*records)} == {
        ("ProtoNet", 1),
        ("ProtoNet", 5),
        ("MatchingNet", 1),
    }


@pytest.mark.parametrize(
    ("correct", "difference", "inside"),
    [
        ((72, 75, 75, 73), -0.17, True),
        ((75, 75, 75, 75), 1.5, False),
        ((74, 73, 74, 75), 0.166667, True),
        ((60, 60, 60, 60), -18.5, False),
    ],
)
def test_difference_and_interval(correct: tuple[int, ...], difference: float, inside: bool) -> None:
    match = _matches(_proto(correct=correct))[1]
    assert match.published.figure == "98.5 ± 0.2"
    assert match.difference == pytest.approx(difference, abs=0.005)
    assert match.inside is inside


@pytest.mark.parametrize(("right", "inside"), [(983, True), (987, True), (982, False), (988, False)])
def test_the_ends_of_the_interval_are_inside(right: int, inside: bool) -> None:
    match = _matches(_proto(correct=(right, right), queries=200))[1]  # of 1000 queries
    assert (match.published.figure, match.inside) == ("98.5 ± 0.2", inside)


def test_where_no_interval_was_printed_nothing_is_inside_or_outside() -> None:
    assert _matches(_proto())[0].inside is None
