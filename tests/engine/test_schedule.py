from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from pydantic import ValidationError

from fsbench.engine.schedule import Schedule, make_schedule
from fsbench.episodes.sampler import Rules
from fsbench.recipe import BatchTraining
from helpers.schedules import SCHEDULE, TASKS

SMALL_FIRST = [[48, 0.8]]


def resolved(*, shot: int | None = 1, fraction: float = 1.0, **changes: Any) -> Schedule:
    given = {"kind": "batches", "batch": 8, "steps": 1000, "rate": 0.1, "validate_every": 100} | changes
    spec = BatchTraining.model_validate(given)
    return make_schedule(spec, "row", shot=shot, seed=0, fraction=fraction, image_size=84, protocol=None, rules=Rules())


def test_a_schedule_of_the_first_fields_keeps_its_identity() -> None:
    """That of the first release, in which it was the fields of the class."""
    for schedule in (SCHEDULE, TASKS):
        fields = asdict(schedule)
        assert schedule.identity() == {name: fields[name] for name in schedule.identity()}
        assert list(schedule.identity()) == [
            "protocol", "size", "seed", "steps", "rate", "halve_every",
            "weight_decay", "clip", "validate_every", "patience", "augment", "rules",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "adamw"},
        {"betas": (0.9, 0.99)},
        {"optimiser": "sgd", "momentum": 0.9},
        {"optimiser": "sgd", "momentum": 0.9, "nesterov": True},
        {"rate_shape": "cosine"},
        {"rate_shape": "one-cycle", "warm_up": 3},
        {"milestones": (10,)},
        {"milestones": (10,), "milestone_factor": 0.5},
        {"clip_value": 10.0},
        {"sizes": ((48, 0), (84, 10))},
        {"recompute_statistics": 64},
        {"augment": "crop"},
    ],
    ids=str,
)
def test_what_changes_the_weights_changes_the_identity(changes: dict[str, Any]) -> None:
    changed = replace(SCHEDULE, **changes).identity()
    assert changed != SCHEDULE.identity()
    assert [changed[name] for name in changes] == [
        [list(entry) if isinstance(entry, tuple) else entry for entry in value] if isinstance(value, tuple) else value
        for value in changes.values()
    ]


def test_the_rate_is_halved() -> None:
    assert [TASKS.rate_at(step) / TASKS.rate for step in (0, 4, 5, 9, 10)] == [1, 1, 0.5, 0.5, 0.25]
    assert replace(TASKS, halve_every=None).rate_at(1000) == TASKS.rate


def test_one_cycle_rises_to_its_rate_and_falls_to_nothing() -> None:
    schedule = resolved(rate_shape="one-cycle", warm_up=0.2)
    rates = [schedule.rate_at(step) for step in range(1000)]
    assert rates[:3] == pytest.approx([0.0005, 0.001, 0.0015])
    assert rates[199] == rates[200] == max(rates) == 0.1
    assert rates[600] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-6
    assert sorted(rates[200:], reverse=True) == rates[200:]


def test_a_cosine_begins_at_its_rate() -> None:
    schedule = resolved(rate_shape="cosine")
    assert [schedule.rate_at(step) for step in (0, 500)] == pytest.approx([0.1, 0.05])


def test_milestones_lower_the_rate_for_good() -> None:
    schedule = resolved(milestones=[0.6, 0.8], milestone_factor=0.5)
    assert [schedule.rate_at(step) for step in (599, 600, 799, 800, 999)] == [0.1, 0.05, 0.05, 0.025, 0.025]


@pytest.mark.parametrize("fraction", [1.0, 0.05])
def test_phases_and_milestones_are_shares_of_what_is_trained(fraction: float) -> None:
    schedule, steps = resolved(fraction=fraction, small_first=SMALL_FIRST, milestones=[0.6]), round(1000 * fraction)
    seen = [schedule.size_at(step) for step in range(steps)]
    assert seen == [48] * (steps * 4 // 5) + [84] * (steps // 5)
    assert schedule.milestones == (steps * 3 // 5,)
    middle = steps * 4 // 5
    assert list(schedule.phases(0)) == [(0, middle, 48), (middle, None, 84)]
    assert list(schedule.phases(middle + 1)) == [(middle + 1, None, 84)]
    assert list(resolved().phases(7)) == [(7, None, None)]


def test_small_images_may_differ_between_shots() -> None:
    small = {1: SMALL_FIRST, 5: [[64, 0.5]]}
    assert [resolved(small_first=small, shot=shot).size_at(0) for shot in (1, 5)] == [48, 64]


def test_a_short_training_does_not_freeze_its_rate() -> None:
    long = {"steps": 100_000, "halve_every": 20_000}
    assert resolved(**long, fraction=0.5).halve_every == 10_000
    assert resolved(**long, fraction=0.01).halve_every == 1000
    assert resolved(halve_every=500, fraction=0.01).halve_every == 500


def test_only_images_smaller_than_those_of_the_suite_come_first() -> None:
    assert resolved(small_first=[[96, 0.2], [84, 0.1], [48, 0.5]]).sizes == ((48, 0), (84, 500))
    assert resolved(small_first=[[84, 0.5], [96, 0.1]]) == resolved()


def test_a_training_that_is_written_out_in_full_reads_back() -> None:
    spec = BatchTraining.model_validate({"kind": "batches", "batch": 8, "steps": 9, "rate": 0.1, "validate_every": 3})
    assert BatchTraining.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"small_first": [[48, 0.8], [64, 0.2]]}, "leave a rest"),
        ({"small_first": []}, "at least 1 item"),
        ({"optimiser": "sgd", "betas": [0.9, 0.99]}, "betas is given"),
        ({"momentum": 0.9}, "momentum is given"),
        ({"optimiser": "sgd", "nesterov": True}, "needs a momentum"),
        ({"warm_up": 0.1}, "warm_up is given"),
        ({"milestone_factor": 0.5}, "milestone_factor is given"),
        ({"augment": "colours"}, "augment"),
    ],
)
def test_a_training_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        resolved(**changes)
