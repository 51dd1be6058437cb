"""The sentences of a report say what its paired differences are, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsbench.records import Record
from fsbench.report.arrange import build_table
from fsbench.report.differences import differences
from fsbench.report.findings import findings
from fsbench.report.html import to_html
from helpers.factories import make_record

BASE = np.tile([40, 46, 52, 49, 43], 20)
NOISE = np.tile([0, 1, 0, -1], 25)


def rows(*ahead: float, source: str = "omniglot", shot: int = 1) -> list[Record]:
    """Methods A, B, ... on 100 episodes, each so many answers of 75 ahead of a common base."""
    return [
        make_record(name, (BASE + int(more) + (number + 1) * NOISE).tolist(), source=source, shot=shot)
        for number, (name, more) in enumerate(zip("ABCD", ahead, strict=False))
    ]


def test_who_leads_is_said_with_the_difference_to_the_next() -> None:
    (sentence,) = findings(build_table(rows(3, 9, 6)))
    assert sentence == "5-way 1-shot, omniglot: B leads, +4.00 ± 0.19 over C, p < 0.0001."


def test_those_that_cannot_be_told_apart_are_named_from_the_best_on() -> None:
    (sentence,) = findings(build_table(rows(9, 0, 9)))
    assert sentence == (
        "5-way 1-shot, omniglot: A and C cannot be told apart; A is 12.00 ± 0.19 ahead of B, the next, p < 0.0001."
    )


def test_pairs_that_differ_behind_a_leader_are_not_said_to_be_alike() -> None:
    wild = np.tile([0, 20, -20, 15, -15], 20)
    records = [
        make_record(name, (BASE + ahead + noise).tolist())
        for name, ahead, noise in (("A", 3, wild), ("B", 2, 0 * wild), ("C", 1, np.tile([0, 1, 0, 0], 25)))
    ]
    assert findings(build_table(records)) == ["5-way 1-shot, omniglot: A is not told apart from B and C."]


def test_where_nothing_differs_nothing_is_claimed() -> None:
    assert findings(build_table(rows(5, 5, 5))) == ["5-way 1-shot, omniglot: A, B and C cannot be told apart."]


def test_every_way_and_shot_has_a_sentence_over_all_its_sources() -> None:
    records = [*rows(0, 5), *rows(0, 5, source="dtd"), *rows(0, 5, shot=5)]
    first, second = findings(build_table(records))
    assert first.startswith("5-way 1-shot, all sources: B leads")
    assert second.startswith("5-way 5-shot, omniglot: B leads")


def test_one_method_and_transductive_ones_are_not_compared() -> None:
    assert findings(build_table([*rows(0), make_record("D", BASE.tolist(), transductive=True)])) == []


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=4))
def test_the_leader_has_the_best_mean_and_the_claim_is_significant(ahead: list[int]) -> None:
    table = build_table(rows(*ahead))
    (sentence,) = findings(table)
    named = sentence.partition(": ")[2]
    best = max(figure.mean for line in table.lines if (figure := line.figures[0]) is not None)
    leader = next(line for line in table.lines if line.name == named[0])
    assert leader.figures[0] is not None
    assert leader.figures[0].mean == pytest.approx(best)
    (family,) = differences(table)
    level = {pair for pair in family.pairs if leader.name in pair[:2] and not pair.significant}
    assert ("told apart" in named) == bool(level)


def test_the_page_opens_with_them_and_its_best_row_comes_first() -> None:
    table = build_table([*rows(3, 9, 6), make_record("D", BASE.tolist(), transductive=True)])
    page = to_html({"t": table})
    assert page.index("B leads") < page.index("<h3>Accuracy</h3>")
    names = [line.name for line in table.by_rank().lines]
    assert names == ["B", "C", "A", "D (transductive)"]
    body = page[page.index("<h3>Accuracy</h3>") :]
    assert sorted(names, key=lambda name: body.index(f">{name}<")) == names
    assert body.count('<tr class="apart">') == 1
    assert body.index('<tr class="apart">') < body.index("D (transductive)")
