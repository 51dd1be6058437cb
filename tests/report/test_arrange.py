"""The table model: which figure stands where, what is ranked, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import scoreatpercentile

from fsbench.errors import RecordError
from fsbench.records import Record
from fsbench.report.arrange import build_table
from fsbench.report.footnote import footnote
from fsbench.report.table import Figure, Line, RankRule, Table
from fsbench.stats.intervals import mean_ci
from fsbench.stats.paired import pairwise_differences
from helpers.factories import make_record

RULES: tuple[RankRule, ...] = ("metadataset", "paired")
LOW, MIDDLE, HIGH = (40, 42, 41, 43), (60, 66, 63, 69), (62, 68, 65, 69)


def _line(table: Table, name: str) -> Line:
    return next(line for line in table.lines if line.name == name)


def _figure(table: Table, name: str, column: int = 0) -> Figure:
    figure = _line(table, name).figures[column]
    assert figure is not None
    return figure


def _suite(seeds: int = 1) -> list[Record]:
    methods = {"k-NN": LOW, "ProtoNet": MIDDLE, "fo-MAML": HIGH}
    return [
        make_record(label, [right + shot + seed for right in correct], source=source, shot=shot, train_seed=seed)
        for label, correct in methods.items()
        for source in ("omniglot", "birds")
        for shot in (1, 5)
        for seed in range(seeds)
    ]


def test_rows_and_sources_keep_their_order_and_columns_go_by_shot() -> None:
    table = build_table([*_suite(), make_record("k-NN", LOW, shot=1, way=20), make_record("k-NN", LOW, shot=10)])
    assert [line.name for line in table.lines] == ["k-NN", "ProtoNet", "fo-MAML"]
    assert [str(column) for column in table.columns] == [
        "omniglot 5-way 1-shot",
        "birds 5-way 1-shot",
        "omniglot 20-way 1-shot",
        "omniglot 5-way 5-shot",
        "birds 5-way 5-shot",
        "omniglot 5-way 10-shot",
    ]


def test_a_cell_is_the_mean_over_episodes_in_percent() -> None:
    figure = _figure(build_table([make_record("ProtoNet", (60, 75, 45, 30))]), "ProtoNet")
    expected = mean_ci([80, 100, 60, 40])
    assert (figure.mean, figure.ci95) == pytest.approx(expected, abs=1e-6)
    assert figure.spread is None


def test_ranks_ties_and_the_best() -> None:
    table = build_table(_suite())
    assert [_figure(table, name).rank for name in ("k-NN", "ProtoNet", "fo-MAML")] == [3, 1.5, 1.5]
    assert [_figure(table, name).best for name in ("k-NN", "ProtoNet", "fo-MAML")] == [False, True, True]
    assert [line.average_rank for line in table.lines] == [3, 1.5, 1.5]


def _uneven() -> list[Record]:
    """Episodes of unequal difficulty, on which MatchingNet is always ahead of k-NN and level with ProtoNet."""
    easy = (20, 70, 35, 55, 45, 62)
    gains = {"k-NN": (0,) * 6, "MatchingNet": (2, 3, 2, 3, 2, 3), "ProtoNet": (3, 2, 3, 2, 2, 2)}
    return [make_record(label, [n + g for n, g in zip(easy, own, strict=True)]) for label, own in gains.items()]


def test_bold_is_paired_and_the_ranks_are_by_the_rule_asked_for() -> None:
    tables = {rule: build_table(_uneven(), ranks=rule) for rule in RULES}
    names = ("k-NN", "MatchingNet", "ProtoNet")
    ranks = {rule: [_figure(table, name).rank for name in names] for rule, table in tables.items()}
    assert ranks == {"metadataset": [2, 2, 2], "paired": [3, 1.5, 1.5]}
    for rule, table in tables.items():
        assert table.ranks == rule
        assert [_figure(table, name).best for name in names] == [False, True, True]
        assert [line.average_rank for line in table.lines] == ranks[rule]


@pytest.mark.parametrize("rule", RULES)
def test_the_footnote_says_the_rule_of_the_ranks_and_of_bold(rule: RankRule) -> None:
    for records, place in ((_uneven(), "column"), ([*_uneven(), make_record("k-NN", source="birds")], "row")):
        notes = dict(footnote(build_table(records, ranks=rule)))
        opening = "Meta-Dataset's rule" if rule == "metadataset" else "by paired tests"
        assert notes["Rank"].startswith(f"{opening} in every {place}, among k-NN, MatchingNet, ProtoNet: ")
        assert ("√(CI² + CI²)" in notes["Rank"]) is (rule == "metadataset")
        assert f"Holm's method for all pairs of the {place}" in notes["Bold"]


def test_a_transductive_row_is_named_so_and_takes_no_part_in_the_ranks() -> None:
    table = build_table([*_suite(), *(make_record("fo-MAML", (74, 75, 74, 75), shot=1, transductive=True),)])
    figure = _figure(table, "fo-MAML (transductive)")
    assert (figure.rank, figure.best, _line(table, "fo-MAML (transductive)").average_rank) == (None, False, None)
    assert _figure(table, "fo-MAML").rank == 1.5


def test_a_label_that_already_says_transductive_is_kept() -> None:
    table = build_table([make_record("fo-MAML (transductive)", transductive=True)])
    assert [line.name for line in table.lines] == ["fo-MAML (transductive)"]


def test_rows_that_share_a_label_are_told_apart_by_their_keys() -> None:
    table = build_table([make_record("ProtoNet", LOW, row="proto-a"), make_record("ProtoNet", HIGH, row="proto-b")])
    assert [line.name for line in table.lines] == ["ProtoNet [proto-a]", "ProtoNet [proto-b]"]


def test_rows_that_share_a_label_are_told_apart_by_their_backbones_if_these_differ() -> None:
    other = make_record("ProtoNet", HIGH, row="proto-b").model_copy(update={"backbone_label": "ResNet-12"})
    table = build_table([make_record("ProtoNet", LOW, row="proto-a"), other, make_record("k-NN")])
    assert [line.name for line in table.lines] == ["ProtoNet (Conv4-64)", "ProtoNet (ResNet-12)", "k-NN"]


def test_a_label_that_looks_like_the_name_of_another_row_does_not_become_it() -> None:
    rows = {"a": ("ProtoNet", "Conv4-64"), "b": ("ProtoNet", "ResNet-12"), "c": ("ProtoNet (ResNet-12)", "ResNet-12")}
    records = [
        make_record(label, row=row, method="proto").model_copy(update={"backbone_label": backbone})
        for row, (label, backbone) in rows.items()
    ]
    names = ["ProtoNet (Conv4-64)", "ProtoNet [b]", "ProtoNet (ResNet-12) [c]"]
    assert [line.name for line in build_table(records).lines] == names
    records.append(make_record("ProtoNet [b]", row="d", method="proto"))
    assert [line.name for line in build_table(records).lines] == [*names, "ProtoNet [b] [d]"]


def test_training_seeds_are_averaged_episode_by_episode() -> None:
    records = [make_record("ProtoNet", correct, train_seed=seed) for seed, correct in ((0, (75, 45)), (1, (45, 60)))]
    figure = _figure(build_table(records), "ProtoNet")
    assert (figure.mean, figure.ci95) == pytest.approx(mean_ci([80, 70]), abs=1e-6)
    assert figure.spread == pytest.approx(10 / 2**0.5, abs=1e-6)  # means 80 and 70
    assert [record.identity.train_seed for record in figure.records] == [0, 1]


def test_several_training_seeds_have_an_interval_over_seeds() -> None:
    records = [make_record("ProtoNet", [n, n], train_seed=seed) for seed, n in enumerate((60, 66, 63))]
    several, one = (_figure(build_table(found), "ProtoNet") for found in (records, records[:1]))
    assert several.over_seeds == pytest.approx(mean_ci([80, 88, 84]))
    assert one.over_seeds is None


def test_the_hard_episodes_are_the_low_percentiles() -> None:
    correct = [3 * n // 4 * 3 for n in range(1, 34)]
    figure = _figure(build_table([make_record("ProtoNet", correct)]), "ProtoNet")
    expected = [scoreatpercentile([n / 0.75 for n in correct], percent) for percent in (5, 10)]
    assert [figure.percentile(percent) for percent in (5, 10)] == pytest.approx(expected)
    seeds = [make_record("ProtoNet", own, train_seed=seed) for seed, own in enumerate([(0, 75), (75, 0)])]
    assert _figure(build_table(seeds), "ProtoNet").percentile(5) == 50


def test_only_inductive_rows_without_a_gap_are_compared_over_sources() -> None:
    records = [r for r in _suite() if (r.label, r.identity.source, r.identity.shot) != ("ProtoNet", "birds", 5)]
    table = build_table([*records, *(make_record("fo-MAML", shot=shot, transductive=True) for shot in (1, 5))])
    assert list(table.complete()) == ["k-NN", "fo-MAML"]
    one_shot = table.complete("5-way 1-shot")
    assert list(one_shot) == ["k-NN", "ProtoNet", "fo-MAML"]
    places = {figure.records[0].identity.source: figure.records[0].identity.shot for figure in one_shot["k-NN"]}
    assert places == {"omniglot": 1, "birds": 1}
    found = pairwise_differences({name: [figure.records for figure in figures] for name, figures in one_shot.items()})
    assert found["k-NN", "ProtoNet"].mean == pytest.approx(
        _figure(table, "k-NN").mean - _figure(table, "ProtoNet").mean
    )


def test_a_gap_is_empty_and_costs_the_row_its_average() -> None:
    records = [r for r in _suite() if (r.label, r.identity.source, r.identity.shot) != ("ProtoNet", "birds", 5)]
    table = build_table(records)
    assert [figure is None for figure in _line(table, "ProtoNet").figures] == [False, False, False, True]
    assert [line.average_rank for line in table.lines] == [pytest.approx(11 / 4), None, pytest.approx(5.5 / 4)]


def test_the_variable_protocol_has_columns_of_its_own_after_the_others() -> None:
    table = build_table([make_record("k-NN", LOW, shot=None), *_suite()])
    assert [str(column) for column in table.columns][-2:] == ["birds 5-way 5-shot", "omniglot variable way and shot"]
    column = table.columns[-1]
    assert (column.way, column.shot, column.queries, column.sampler) == (None, None, None, "variable-1")
    assert table.settings == ("5-way 1-shot", "5-way 5-shot", "variable way and shot")


def test_every_setting_has_its_average_rank() -> None:
    records = [r for r in _suite() if (r.label, r.identity.source, r.identity.shot) != ("ProtoNet", "birds", 5)]
    table = build_table([*records, make_record("fo-MAML", HIGH, transductive=True)])
    ranks = {line.name: line.setting_ranks for line in table.lines}
    assert ranks == {
        "k-NN": {"5-way 1-shot": 3, "5-way 5-shot": 2.5},
        "ProtoNet": {"5-way 1-shot": 1.5},
        "fo-MAML": {"5-way 1-shot": 1.5, "5-way 5-shot": 1.25},
        "fo-MAML (transductive)": {},
    }


def test_a_source_left_out_by_some_counts_only_if_none_measures_it() -> None:
    records = [
        make_record("k-NN", absent={"birds": "no images.", "fungi": "no images."}),
        make_record("k-NN", source="birds"),
        make_record("ProtoNet", absent={"fungi": "no list."}),
    ]
    table = build_table(records)
    assert table.left_out == {"fungi": "no images.; no list."}
    assert table.sources == ("omniglot", "birds", "fungi")


@pytest.mark.parametrize(
    ("records", "by_source"),
    [
        ([make_record()], False),
        ([make_record(), make_record(shot=5), make_record(shot=None)], False),
        ([make_record(), make_record(source="birds")], True),
        ([make_record(absent={"birds": "no images."})], True),
    ],
)
def test_a_table_with_several_sources_is_printed_by_source(records: Sequence[Record], by_source: bool) -> None:
    assert build_table(records).by_source is by_source


@given(st.randoms(use_true_random=False), st.integers(1, 2))
def test_the_order_of_the_records_decides_only_the_order_of_rows_and_sources(
    shuffle: random.Random, seeds: int
) -> None:
    records = _suite(seeds)
    expected = build_table(records)
    shuffle.shuffle(records)
    table = build_table(records)
    assert {column.shot for column in table.columns[:2]} == {1}
    assert sorted(table.columns, key=str) == sorted(expected.columns, key=str)
    for line in expected.lines:
        other = _line(table, line.name)
        assert other.average_rank == line.average_rank
        assert dict(zip(table.columns, other.figures, strict=True)) == dict(
            zip(expected.columns, line.figures, strict=True)
        )


def _of_recipe(recipe: str, seed: int) -> Record:
    return make_record(train_seed=seed).model_copy(update={"recipe": recipe})


def test_seeds_of_one_recipe_have_a_mean_whether_all_recorded_it_or_not() -> None:
    records = [make_record(training="x"), _of_recipe("x", 1), _of_recipe("x", 2), make_record(train_seed=3)]
    assert build_table(records).lines[0].figures[0].spread is not None


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "of one suite, not of none"),
        ([make_record(), make_record(suite="other")], "of one suite, not of other, tiny"),
        (
            [make_record("a"), make_record("b", episode_set="other")],
            "b on omniglot 5-way 1-shot has episode_set 'other'",
        ),
        ([make_record("a"), make_record("b", pack="other")], "has pack 'other'"),
        ([make_record("a"), make_record("b", (60, 61))], "has episodes 2 where others have 4"),
        ([make_record("a"), make_record("b", tracks="apart")], "has tracks 'apart' where others have None"),
        (
            [make_record("a"), make_record("b", shot=None), make_record("c", (1, 2), shot=None)],
            "variable way and shot has",
        ),
        ([make_record(), make_record()], "2 records with training seed 0; keep one"),
        ([make_record(params={"k": 1}), make_record(train_seed=1)], "training seeds 0, 1 of different settings"),
        ([make_record(), make_record(train_seed=1).model_copy(update={"track": "C"})], "of different settings"),
        ([_of_recipe("x", 1), _of_recipe("y", 2)], "training seeds 1, 2 of different settings"),
        ([make_record(training="x"), _of_recipe("y", 1)], "training seeds 0, 1 of different settings"),
        ([make_record(), make_record(shot=5, method="other")], "of different methods or backbones"),
        (
            [make_record(), make_record(shot=5).model_copy(update={"backbone_label": "ResNet-12"})],
            "of different methods or backbones",
        ),
    ],
)
def test_records_that_do_not_belong_side_by_side_are_refused(records: Sequence[Record], sentence: str) -> None:
    with pytest.raises(RecordError, match=sentence):
        build_table(records)


@pytest.mark.parametrize(("facts", "reduced"), [({}, False), ({"fraction": 0.1}, True)])
def test_a_row_knows_that_its_training_was_reduced(facts: dict[str, Any], reduced: bool) -> None:
    assert build_table([make_record(**facts)]).lines[0].reduced is reduced
