"""How the benchmarks make ratios of timings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ratios
from ratios import Ratio, ratio_of, to_markdown, update

ROW = Ratio(
    topic="sampling",
    what="Omniglot",
    peer="a DataLoader",
    unit="episodes/s",
    ours=1000.0,
    theirs=10.0,
    quartiles=(90.0, 100.0, 110.0),
    rounds=9,
    target=50.0,
    allocation="default",
    note="from disk",
)
MACHINE = {"device": "cpu", "commit": "1a"}


def test_rates_are_work_over_time_and_ratios_are_paired() -> None:
    ours, theirs = [1.0, 2.0, 4.0], [10.0, 20.0, 40.0]  # a machine that gets slower, for both alike
    rate, their_rate, quartiles = ratio_of(ours, theirs, our_work=6, their_work=3)
    assert (rate, their_rate) == (3.0, 0.15)
    assert quartiles == (20.0, 20.0, 20.0)


def test_an_equal_peer_has_ratio_one_in_the_median() -> None:
    random = np.random.default_rng(0)
    speed = random.choice([1.0, 1.5], 500)  # a host with two speeds
    ours, theirs = (speed * random.lognormal(0, 0.1, 500) for _ in range(2))
    _, _, (low, middle, high) = ratio_of(ours, theirs, our_work=1, their_work=1)
    assert middle == pytest.approx(1, abs=0.02)
    assert low < 1 < high


def test_a_new_measurement_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    other, tuned = replace(ROW, what="miniImageNet"), replace(ROW, allocation="tuned")
    assert update(path, [ROW, other], MACHINE) == ([ROW, other], MACHINE)
    again = replace(ROW, ours=2000.0)
    for commit in ("2b", "1a"):
        rows, machine = update(path, [again, tuned], MACHINE | {"commit": commit})
        assert rows == [again, other, tuned]
        assert machine == {"device": "cpu", "commit": "1a, 2b"}


def test_the_table_says_what_was_missed_and_keeps_the_settings_apart() -> None:
    missed = replace(ROW, what="miniImageNet", target=200.0, allocation="tuned")
    first, second = to_markdown([ROW, missed], MACHINE).split("\n## ")[1:]
    assert "| Omniglot; from disk" in first
    assert "**100** (90–110)" in first
    assert "missed" not in first
    assert "200 (missed)" in second
    assert "Omniglot" not in second
    assert second.rstrip().endswith("device cpu, commit 1a.")


def test_the_committed_tables_follow_from_the_committed_ratios() -> None:
    folder = Path(ratios.__file__).parent
    content = json.loads((folder / "RESULTS.json").read_text(encoding="utf-8"))
    rows = [Ratio(**row) for row in content["ratios"]]
    assert (folder / "RESULTS.md").read_text(encoding="utf-8") == to_markdown(rows, content["environment"])
    assert "+" not in content["environment"]["commit"]
    topics = {path.stem.removeprefix("test_").replace("_", " ") for path in folder.glob("test_*.py")}
    assert {row.topic for row in rows} == {{"startup": "start-up"}.get(topic, topic) for topic in topics}
