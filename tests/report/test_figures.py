"""What the figures show: the order of the rows, and how the accuracies of episodes are counted."""

from __future__ import annotations

import pytest

from fsbench.report.arrange import build_table
from fsbench.report.figures import (
    accuracy_panels,
    critical_differences,
    distribution_panels,
    padded,
    training_panels,
)
from fsbench.report.table import Table
from helpers.factories import make_record


def test_rows_come_by_average_rank_and_those_without_one_last() -> None:
    rows = [("k-NN", 40, False), ("fo-MAML", 65, True), ("ProtoNet", 60, False)]
    records = [
        make_record(label, [right + shot + i for i in range(6)], shot=shot, transductive=how)
        for label, right, how in rows
        for shot in (1, 5)
    ]
    table = build_table([*records, make_record("gap", [75, 74, 75, 74, 75, 74], shot=5)])
    assert [panel.title for panel in accuracy_panels(table)] == ["5-way 1-shot", "5-way 5-shot"]
    for panels in (accuracy_panels(table), distribution_panels(table)):
        assert [[mark.name for mark in panel.marks] for panel in panels] == [
            ["ProtoNet", "k-NN", "fo-MAML (transductive)"],
            ["gap", "ProtoNet", "k-NN", "fo-MAML (transductive)"],
        ]
    assert [dot.kind for dot in accuracy_panels(table)[0].marks] == ["best", "ranked", "apart"]


def test_every_possible_accuracy_has_a_bin_of_its_own() -> None:
    (panel,) = distribution_panels(build_table([make_record(correct=[75, 75, 74, 72])]))
    (histogram,) = panel.marks
    assert histogram.edges == pytest.approx([100 * right / 75 for right in (71, 72, 73, 74, 75)])
    assert histogram.shares == (0.25, 0, 0.25, 0.5)
    assert histogram.median == pytest.approx(100 * 74.5 / 75)


@pytest.mark.parametrize(("right", "edges"), [(0, (0, 4 / 3)), (1, (0, 4 / 3)), (75, (100 - 4 / 3, 100))])
def test_the_ends_of_the_scale_lie_within_bins(right: int, edges: tuple[float, float]) -> None:
    (panel,) = distribution_panels(build_table([make_record(correct=[right, right])]))
    assert panel.marks[0].edges == pytest.approx(edges)
    assert panel.marks[0].shares == (1,)


def test_many_queries_and_varying_ones_share_bins() -> None:
    many = make_record(correct=[0, 75], queries=60)  # 300 queries: three accuracies a bin
    varying = make_record(correct=[60, 75], shot=None).model_copy(update={"total": [75, 80]})
    for record, width in ((many, 1.0), (varying, 2.5)):
        (panel,) = distribution_panels(build_table([record]))
        edges = panel.marks[0].edges
        assert edges[1] - edges[0] == pytest.approx(width)
        assert sum(panel.marks[0].shares) == 1


def test_critical_differences_need_five_sources_of_one_setting_and_three_methods() -> None:
    def table(sources: int, methods: int = 3) -> Table:
        return build_table(
            [
                make_record(label, [low + place, low + 9], source=f"s{place}")
                for label, low in [("k-NN", 20), ("ProtoNet", 40), ("LEO", 60)][:methods]
                for place in range(sources)
            ]
        )

    assert list(critical_differences(table(5))) == ["5-way 1-shot"]
    assert critical_differences(table(4)) == critical_differences(table(5, methods=2)) == {}
    assert critical_differences(table(5))["5-way 1-shot"].average_ranks == {"LEO": 1, "ProtoNet": 2, "k-NN": 3}


def test_a_training_stands_once_however_many_records_it_has() -> None:
    records = [make_record(source=source, training="one") for source in ("a", "b", "c")]
    (panel,) = training_panels(build_table(records))
    (curve,) = panel.marks
    assert (panel.title, curve.kind, curve.looks, curve.kept) == ("ProtoNet", "1-shot", ((3000, 90.0),), (3000, 90.0))
    (other,) = training_panels(build_table([make_record(shot=None)]))
    assert other.marks[0].kind == "any shot"


def test_an_axis_has_room_also_around_equal_values() -> None:
    assert padded([10, 30, 20]) == (9, 31)
    assert padded([5, 5]) == (4, 6)
