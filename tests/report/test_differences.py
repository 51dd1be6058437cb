"""Paired differences of a table: every figure computed again, who is compared, and the same in every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from fsbench.records import Record
from fsbench.report.arrange import build_table
from fsbench.report.differences import ALL_SOURCES, DIFFERENCE_COLUMNS, differences, differences_to_csv
from fsbench.report.json import to_json
from fsbench.report.table import Table
from fsbench.stats.paired import Difference, holm, mean_difference, paired_difference
from helpers.factories import make_record

SOURCES = ("omniglot", "birds", "dtd")
METHODS = {"k-NN": 30, "ProtoNet": 33, "MatchingNet": 33, "RelationNet": 36}


def _records() -> list[Record]:
    """Four methods on three sources at two shots; one has two training seeds, one a gap, and one is transductive."""
    rng = np.random.default_rng(50)
    records = []
    for source in SOURCES:
        for shot in (1, 5):
            ease = rng.integers(0, 30, 12)
            rows = [(label, False, 0) for label in METHODS] + [("ProtoNet", False, 1), ("fo-MAML", True, 0)]
            for label, transductive, seed in rows:
                right = METHODS.get(label, 40) + ease + rng.integers(-3, 4, 12)
                known = {"source": source, "shot": shot, "transductive": transductive, "train_seed": seed}
                if (label, source, shot) != ("RelationNet", "dtd", 5):
                    records.append(make_record(label, right.tolist(), **known))
    return records


def _lines(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(differences_to_csv(table).splitlines()))


def _anew(records: Sequence[Record], source: str, shot: int) -> dict[tuple[str, str], Difference]:
    """What a family of lines should hold, with p values that are not yet corrected."""
    sources = SOURCES if source == ALL_SOURCES else (source,)
    cells = {
        label: [
            [r for r in records if (r.label, r.identity.source, r.identity.shot) == (label, place, shot)]
            for place in sources
        ]
        for label in METHODS
    }
    complete = [label for label, found in cells.items() if all(found)]
    return {
        (ours, other): paired_difference(cells[ours][0], cells[other][0])
        if len(sources) == 1
        else mean_difference(zip(cells[ours], cells[other], strict=True))
        for ours, other in combinations(complete, 2)
    }


def test_every_line_is_the_paired_difference_and_holms_p_computed_anew() -> None:
    records = _records()
    lines = _lines(build_table(records))
    families = [(shot, source) for shot in (1, 5) for source in (ALL_SOURCES, *SOURCES)]
    for shot, source in families:
        expected = _anew(records, source, shot)
        corrected = holm({pair: found.p_value for pair, found in expected.items()})
        found = [line for line in lines if (line["test_source"], line["shot"]) == (source, str(shot))]
        assert [(line["method"], line["other"]) for line in found] == list(expected)
        for line, (pair, difference) in zip(found, expected.items(), strict=True):
            assert float(line["difference"]) == pytest.approx(difference.mean, abs=1e-6)
            assert float(line["ci95"]) == pytest.approx(difference.half_width, abs=1e-6)
            assert float(line["p"]) == pytest.approx(difference.p_value, rel=1e-5)
            assert float(line["p_holm"]) == pytest.approx(corrected[pair], rel=1e-5)
            assert line["significant"] == str(corrected[pair] <= 0.05).lower()
            assert line["way"] == "5"
    assert len(lines) == 6 * 6 + 2 * 3  # without RelationNet where it has a gap
    assert {line["significant"] for line in lines} == {"true", "false"}


def test_a_setting_starts_with_its_sources_together_and_rows_with_a_gap_are_in_none_of_that() -> None:
    found = [(family.setting, family.source, family.methods) for family in differences(build_table(_records()))]
    everybody, without = tuple(METHODS), tuple(METHODS)[:3]
    assert found == [
        *(("5-way 1-shot", source, everybody) for source in (None, *SOURCES)),
        ("5-way 5-shot", None, without),
        *(("5-way 5-shot", source, everybody) for source in SOURCES[:2]),
        ("5-way 5-shot", "dtd", without),
    ]


def test_one_source_has_no_family_over_sources_and_one_method_none_at_all() -> None:
    methods = [make_record("k-NN", (3, 5, 9)), make_record("ProtoNet", (4, 8, 9))]
    assert [family.source for family in differences(build_table(methods))] == ["omniglot"]
    alone = build_table([methods[0], make_record("fo-MAML", (4, 8, 9), transductive=True)])
    assert differences(alone) == []
    assert differences_to_csv(alone) == ",".join(DIFFERENCE_COLUMNS) + "\n"


def test_on_a_column_the_bold_figures_are_those_not_significantly_behind_the_best() -> None:
    table = build_table(_records())
    for place, column in enumerate(table.columns):
        (family,) = (family for family in differences(table) if family.columns == (column,))
        cells = {row.name: cell for row in table.lines if (cell := row.figures[place]) and row.name in family.methods}
        leader = max(cells, key=lambda name: cells[name].mean)
        apart = {name for pair in family.pairs if pair.significant and leader in pair[:2] for name in pair[:2]}
        assert {name for name, cell in cells.items() if cell.best} == {leader, *cells.keys() - apart}


def test_methods_that_do_not_differ_have_no_minus_zero() -> None:
    table = build_table([make_record(label, (60, 66, 63)) for label in ("k-NN", "Finetune")])
    assert _lines(table)[0] == {
        **{"method": "k-NN", "other": "Finetune", "test_source": "omniglot", "way": "5", "shot": "1"},
        **{"difference": "0.0", "ci95": "0.0", "p": "1.0", "p_holm": "1.0", "significant": "false"},
    }


def test_way_and_shot_that_vary_are_empty() -> None:
    table = build_table([make_record(label, (60, right, 63), shot=None) for label, right in (("a", 5), ("b", 9))])
    (line,) = _lines(table)
    assert (line["way"], line["shot"], line["test_source"]) == ("", "", "omniglot")


def test_json_holds_the_same() -> None:
    table = build_table(_records())
    written = json.loads(to_json(table))["differences"]
    assert written == [
        {
            "setting": family.setting,
            "source": family.source,
            "tracks": ["A"] * len(family.columns),
            "pairs": [pair._asdict() for pair in family.pairs],
        }
        for family in differences(table)
    ]


@pytest.mark.parametrize("name", ["_ & % # |, ;", '<script>"x"</script>', 'a "b",', "é 字"])
def test_names_are_read_back_as_they_were(name: str) -> None:
    records = [make_record(label, (60, right, 63), source=name) for label, right in ((name, 5), ("b", 9))]
    text = differences_to_csv(build_table(records))
    assert list(csv.reader(text.splitlines(keepends=True)))[1][:3] == [name, "b", name]


def test_it_depends_on_the_records_alone() -> None:
    records = _records()
    later = [record.model_copy(update={"timings": {"evaluation": 99.0}}) for record in records]
    assert differences_to_csv(build_table(records)) == differences_to_csv(build_table(later))
