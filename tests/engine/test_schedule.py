from __future__ import annotations

from dataclasses import asdict

from helpers.schedules import SCHEDULE, TASKS


def test_a_schedule_of_the_first_fields_keeps_its_identity() -> None:
    """That of the first release, in which it was the fields of the class."""
    for schedule in (SCHEDULE, TASKS):
        fields = asdict(schedule)
        assert schedule.identity() == {name: fields[name] for name in schedule.identity()}
        assert list(schedule.identity()) == [
            "protocol", "size", "seed", "steps", "rate", "halve_every",
            "weight_decay", "clip", "validate_every", "patience", "augment", "rules",
        ]  # fmt: skip
