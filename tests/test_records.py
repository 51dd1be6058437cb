from __future__ import annotations

import pytest

from fsbench.identity import cell_id
from helpers.factories import make_record


def test_accuracies_are_percents() -> None:
    assert make_record(correct=[0, 15, 75]).accuracies.tolist() == [0.0, 20.0, 100.0]


@pytest.mark.parametrize(
    "change", [{"train_seed": 1}, {"fraction": 0.5}, {"episode_set": "other"}, {"params": {"rate": 0.1}}]
)
def test_whatever_changes_the_number_changes_the_identity(change: dict[str, object]) -> None:
    plain, changed = make_record(), make_record(**change)
    assert cell_id(plain.identity) != cell_id(changed.identity)


def test_the_machine_is_no_part_of_the_identity() -> None:
    assert cell_id(make_record(environment={"threads": 64}).identity) == cell_id(make_record().identity)
