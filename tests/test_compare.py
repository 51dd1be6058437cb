"""The regression verdict: what each cell is called, and how the comparison ends."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from fsbench.compare import compare
from fsbench.errors import UsageError
from fsbench.records import Record
from fsbench.verdict import EXIT_CODES, Comparison, Finding, Verdict
from helpers.compared import BASE, changed, record, write, write_all_verdicts


def _compare(folder: Path, base: list[Record], new: list[Record], **options: Any) -> tuple[list[str], int]:
    """The verdicts and the exit code."""
    comparison = compare(write(folder / "base", *base), write(folder / "new", *new), **options)
    return [finding.verdict for finding in comparison.findings], comparison.exit_code


def _one(folder: Path, base: list[Record], new: list[Record], **options: Any) -> Finding:
    (finding,) = compare(write(folder / "base", *base), write(folder / "new", *new), **options).findings
    return finding


TWO = [record("k-NN"), record("ProtoNet")]


@pytest.mark.parametrize(
    ("base", "new", "verdicts", "code"),
    [
        (TWO, TWO, ["identical", "identical"], 0),
        (TWO, [TWO[0], record("ProtoNet", changed(-5, -3, -6))], ["regressed", "identical"], 1),
        (TWO, [TWO[0], record("ProtoNet", changed(-9, 8, 0))], ["inconclusive", "identical"], 0),
        (TWO, [TWO[0], record("ProtoNet", changed(4, 2, 5))], ["improved", "identical"], 0),
        (TWO, TWO[:1], ["missing", "identical"], 4),
        (TWO, [*TWO, record("fo-MAML")], ["identical", "identical", "added"], 0),
        (TWO, [TWO[0], record("ProtoNet", episode_set="other")], ["not comparable", "identical"], 3),
        ([], [], ["missing", "missing"], 4),
        ([], TWO, ["missing", "added", "added"], 4),
        (TWO, [], ["missing", "missing", "missing"], 4),
    ],
    ids=[
        "none",
        "drop",
        "drop within noise",
        "improvement",
        "missing cell",
        "extra cell",
        "other episodes",
        "empty",
        "empty base",
        "empty new",
    ],
)
def test_scenario(tmp_path: Path, base: list[Record], new: list[Record], verdicts: list[str], code: int) -> None:
    assert _compare(tmp_path, base, new) == (verdicts, code)


def test_another_schema_is_not_comparable_and_damage_is_incomplete(tmp_path: Path) -> None:
    for row, old, new, verdict, code in (
        ("k-nn", '"schema_version":2', '"schema_version":3', "not comparable", 3),
        ("k-nn", '"mean"', '"meen"', "damaged", 4),
    ):
        folder = tmp_path / verdict
        base, judged = write(folder / "base", *TWO), write(folder / "new", *TWO)
        (path,) = (judged / "records").glob(f"{row}-*")
        path.write_text(path.read_text().replace(old, new))
        comparison = compare(base, judged)
        found = {finding.subject: finding.verdict for finding in comparison.findings}
        assert found[str(path)] == verdict
        assert found["tiny: k-nn on omniglot 5-way 1-shot"] == "missing"
        assert comparison.exit_code == code
        assert compare(judged, base).exit_code == code


def test_a_folder_may_hold_the_records_itself(tmp_path: Path) -> None:
    base, new = write(tmp_path / "base", *TWO), write(tmp_path / "new", *TWO)
    assert compare(base / "records", new).exit_code == compare(base, new / "records").exit_code == 0


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"episode_set": "0123456789abcdef"}, "episode_set differs: omniglot-5-1 in BASE, 0123456789ab in NEW."),
        ({"pack": "other"}, "pack differs: omniglot-pac in BASE, other in NEW."),
        ({"fraction": 0.1}, "training_fraction differs: 1.0 in BASE, 0.1 in NEW."),
        ({"split": "val"}, "split differs: test in BASE, val in NEW."),
        ({"transductive": True, "row": "protonet"}, "transductive differs: False in BASE, True in NEW."),
        ({"correct": BASE[:20]}, "episodes differs: 30 in BASE, 20 in NEW."),
    ],
)
def test_only_like_is_compared_with_like(tmp_path: Path, facts: dict[str, Any], reason: str) -> None:
    finding = _one(tmp_path, [record("ProtoNet")], [record("ProtoNet", **facts)])
    assert (finding.verdict, finding.reason, finding.difference) == ("not comparable", reason, None)


def test_another_leakage_track_is_not_like(tmp_path: Path) -> None:
    base, new = (
        record("ProtoNet", backbone={"name": "timm", "weights": track}).model_copy(update={"track": track})
        for track in ("B", "C")
    )
    comparison = compare(write(tmp_path / "base", base), write(tmp_path / "new", new))
    (finding,) = comparison.findings
    assert (finding.verdict, finding.reason, finding.difference) == (
        "not comparable",
        "track differs: B in BASE, C in NEW.",
        None,
    )
    assert comparison.exit_code == 3


def test_what_may_change_is_named(tmp_path: Path) -> None:
    finding = _one(tmp_path, [record("ProtoNet")], [record("ProtoNet", params={"scale": 2}, training="other")])
    assert (finding.verdict, finding.reason) == ("identical", "other params, training")


def test_two_records_of_one_seed_are_not_chosen_from(tmp_path: Path) -> None:
    twice = [record("ProtoNet"), record("ProtoNet", params={"scale": 2})]
    for base, new, side in ((twice, twice[:1], "BASE"), (twice[:1], twice, "NEW")):
        finding = _one(tmp_path / side, base, new)
        assert finding.verdict == "not comparable"
        assert finding.reason == f"{side} has 2 records with training seed 0; keep one of them."


def test_a_source_whose_images_were_missing_is_said_to_be_so(tmp_path: Path) -> None:
    base = [record("ProtoNet"), record("ProtoNet", source="fungi")]
    new = [record("ProtoNet", absent={"fungi": "no images."})]
    assert _compare(tmp_path, base, new) == (["data missing", "identical"], 5)
    finding = compare(tmp_path / "base", tmp_path / "new").findings[0]
    assert finding.reason == "NEW left fungi out: no images."


@given(
    st.lists(st.tuples(st.integers(0, 75), st.integers(-4, 3)), min_size=3, max_size=12), st.sampled_from([0, 0.5, 2])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_the_rule_as_scipy_tells_it(tmp_path: Path, episodes: list[tuple[int, int]], margin: float) -> None:
    before = [right for right, _ in episodes]
    after = [min(75, max(0, right + step)) for right, step in episodes]
    for path in tmp_path.rglob("*.json"):
        path.unlink()
    finding = _one(tmp_path, [record("ProtoNet", before)], [record("ProtoNet", after)], margin=margin)
    differences = (np.array(after) - np.array(before)) / 0.75
    mean, low, high, p_value = differences.mean(), differences.mean(), differences.mean(), float(not differences.any())
    if np.ptp(differences):
        test = stats.ttest_1samp(differences, 0)
        (low, high), p_value = test.confidence_interval(), test.pvalue
    assert finding.difference == pytest.approx((mean, (high - low) / 2, p_value), abs=1e-7)
    assert finding.new - finding.base == pytest.approx(mean)
    if before == after:
        expected = "identical"
    elif low > -margin:
        expected = "improved" if mean > 0 and p_value < 0.05 else "pass"
    else:
        expected = "suspect" if mean < -margin else "inconclusive"
        if high < 0 and mean < -margin / 2 and p_value < 0.05:
            expected = "regressed"
    assert finding.verdict == expected


def test_several_seeds_are_compared_over_the_means_of_equal_seeds(tmp_path: Path) -> None:
    steps = {2: (-6, -4), 0: (-3, -5), 5: (-4, -5)}
    base = [record("ProtoNet", train_seed=seed) for seed in (0, 2, 5)]
    new = [record("ProtoNet", changed(*step), train_seed=seed) for seed, step in steps.items()]
    finding = _one(tmp_path, base, [*new, record("ProtoNet", changed(9), train_seed=7)])
    test = stats.ttest_1samp([-5 / 0.75, -4 / 0.75, -4.5 / 0.75], 0)
    low, high = test.confidence_interval()
    assert finding.difference == pytest.approx((-6, (high - low) / 2, test.pvalue))
    assert (finding.verdict, finding.over) == ("regressed", "3 training seeds")
    assert finding.new - finding.base == pytest.approx(-6)
    assert [len(side) for side in finding.records] == [3, 3]


def test_one_seed_is_compared_over_episodes(tmp_path: Path) -> None:
    assert _one(tmp_path, TWO[:1], TWO[:1]).over == "30 episodes"


def test_seeds_that_all_differ_by_the_same_are_settled(tmp_path: Path) -> None:
    base = [record("ProtoNet", train_seed=seed) for seed in range(2)]
    new = [record("ProtoNet", changed(-3), train_seed=seed) for seed in range(2)]
    finding = _one(tmp_path, base, new)
    rounding = 100 / (75 * 30) / math.sqrt(12)  # means that agree by chance are no nearer than this
    test = stats.ttest_1samp([-4 - rounding / math.sqrt(2), -4 + rounding / math.sqrt(2)], 0)
    low, high = test.confidence_interval()
    assert (finding.verdict, finding.difference) == (
        "regressed",
        pytest.approx((-4, (high - low) / 2, test.pvalue)),
    )


def test_a_missing_seed_is_a_missing_cell(tmp_path: Path) -> None:
    base = [record("ProtoNet", train_seed=seed) for seed in range(3)]
    finding = _one(tmp_path, base, base[1:2])
    assert (finding.verdict, finding.reason) == ("missing", "NEW has no record of it with training seed 0, 2.")


def test_among_many_cells_noise_alone_is_no_regression(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-6, 7, size=(80, 30))
    base = [record(f"method {number}") for number in range(80)]
    new = [record(f"method {number}", [int(n) for n in BASE + row]) for number, row in enumerate(noise)]
    comparison = compare(write(tmp_path / "base", *base), write(tmp_path / "new", *new))
    below = [
        finding
        for finding in comparison.findings
        if finding.difference and finding.difference.mean + finding.difference.half_width < 0
    ]
    assert below, "without a correction some would have regressed"
    assert "regressed" not in {finding.verdict for finding in comparison.findings}
    assert Counter(finding.verdict for finding in comparison.findings)["improved"] == 0


def test_strict_fails_what_is_inconclusive(tmp_path: Path) -> None:
    unsure = [record("k-NN", changed(-9, 8, 0)), TWO[1]]
    assert _compare(tmp_path, TWO, unsure, strict=True) == (["inconclusive", "identical"], 6)


def test_a_drop_beyond_the_margin_that_may_be_noise_does_not_pass(tmp_path: Path) -> None:
    unsure = [record("k-NN", changed(-9, 7, 0)), TWO[1]]
    assert _compare(tmp_path, TWO, unsure) == (["suspect", "identical"], 6)


def _retrained(steps: dict[str, tuple[int, int, int]]) -> tuple[list[Record], list[Record]]:
    """Of every row three trainings in BASE, and in NEW with so many more correct answers in every episode."""
    base = [record(row, train_seed=seed) for row in steps for seed in range(3)]
    new = [record(row, changed(own[seed]), train_seed=seed) for row, own in steps.items() for seed in range(3)]
    return base, new


def test_three_seeds_show_a_drop_that_they_would_not_show_of_one_cell(tmp_path: Path) -> None:
    unsure = (-2, -3, -1)
    assert _one(tmp_path / "alone", *_retrained({"dropped": unsure})).verdict == "suspect"
    noise = itertools.cycle([(1, 0, -1), (0, -1, 1), (-1, 1, 0)])
    table = {"dropped": unsure, **{f"row {number}": next(noise) for number in range(13)}}
    verdicts, code = _compare(tmp_path / "table", *_retrained(table), margin=2)
    assert (Counter(verdicts), code) == ({"regressed": 1, "pass": 13}, 1)


def test_identical_cells_tell_nothing_of_the_noise_and_are_no_further_chance_of_a_false_alarm(tmp_path: Path) -> None:
    alone = _one(tmp_path / "alone", *_retrained({"dropped": (-5, -4, -6)}))
    table = {"dropped": (-5, -4, -6), **{f"row {number}": (0, 0, 0) for number in range(13)}}
    base, new = _retrained(table)
    comparison = compare(write(tmp_path / "base", *base), write(tmp_path / "new", *new))
    assert comparison.findings[0].difference == alone.difference
    assert Counter(finding.verdict for finding in comparison.findings) == {"regressed": 1, "identical": 13}


def test_the_most_serious_comes_first(tmp_path: Path) -> None:
    comparison = compare(*write_all_verdicts(tmp_path))
    assert list(dict.fromkeys(finding.verdict for finding in comparison.findings)) == list(EXIT_CODES)
    assert comparison.exit_code == 1


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["data missing", "missing", "damaged", "not comparable", "regressed", "identical"], 1),
        (["data missing", "damaged", "not comparable", "improved"], 3),
        (["data missing", "damaged", "pass"], 4),
        (["data missing", "missing", "pass"], 4),
        (["data missing", "suspect", "inconclusive"], 5),
        (["suspect", "inconclusive", "improved"], 6),
        (["inconclusive", "improved", "pass", "identical", "added"], 0),
    ],
)
def test_of_several_exit_codes_the_lowest_wins(verdicts: list[Verdict], code: int) -> None:
    findings = tuple(Finding("a cell", verdict) for verdict in verdicts)
    assert Comparison(findings, margin=0.5, strict=False).exit_code == code


@pytest.mark.parametrize("margin", [-0.1, 100.5, float("nan"), float("inf")])
def test_a_margin_that_would_pass_anything_is_refused(tmp_path: Path, margin: float) -> None:
    with pytest.raises(UsageError, match="a margin lies between 0 and 100 percentage points"):
        compare(tmp_path, tmp_path, margin=margin)
