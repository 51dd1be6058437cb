from __future__ import annotations

from typing import Any

import pytest

from fsbench.data.pack import Pack
from fsbench.errors import SuiteError
from fsbench.methods.registry import check_row, load_method
from fsbench.run.cells import Cell, EpisodeSet, Training
from fsbench.run.options import Options, protocols_of
from fsbench.run.plan import make_plan
from fsbench.suite import Suite
from fsbench.suite_files import load_suite
from helpers.small import SIZE, write_small_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_small_pack(tmp_path_factory.mktemp("pack"), source="glyphs")


def plan(pack: Pack, suite: Suite | None = None, **options: Any) -> list[Cell]:
    chosen, wanted = suite or load_suite("glyphs"), Options(**{"episodes": 5, **options})
    assert chosen.images.size == SIZE
    sets = [
        ("glyphs", EpisodeSet.drawn(pack, protocol, chosen.episodes.rules)) for protocol in protocols_of(chosen, wanted)
    ]
    methods = {row.method: load_method(row.method) for row in chosen.methods.values()}
    return make_plan(chosen, wanted, methods, {"glyphs": pack}, sets)


def changed(row: str, part: str, **values: Any) -> Suite:
    """The suite glyphs with other values in a row's params or training."""
    content = load_suite("glyphs").model_dump()
    content["methods"][row][part] |= values
    return Suite.model_validate(content)


def trainings(cells: list[Cell]) -> dict[tuple[str, int], str]:
    return {(cell.identity.row, cell.identity.shot): cell.training.id for cell in cells}


def test_one_classifier_serves_knn_and_finetune_at_every_shot(pack: Pack) -> None:
    found = trainings(plan(pack))
    assert len({found[row, shot] for row in ("knn", "finetune") for shot in (1, 5)}) == 1
    assert len(set(found.values())) == 1 + 5 * 2


def test_cells_of_one_training_stand_side_by_side(pack: Pack) -> None:
    order = [cell.training.id for cell in plan(pack, seeds=2)]
    starts = [training for training, before in zip(order, [None, *order], strict=False) if training != before]
    assert len(starts) == len(set(order)) == 22


def test_what_only_tests_a_model_leaves_its_training_alone(pack: Pack) -> None:
    before, after = plan(pack), plan(pack, changed("finetune", "params", steps=7))
    assert trainings(before) == trainings(after)
    different = {new.identity.row for old, new in zip(before, after, strict=True) if old.identity != new.identity}
    assert different == {"finetune"}


@pytest.mark.parametrize(
    "change",
    [
        {"fraction": 0.5},
        {"deterministic": True},
        {"suite": changed("proto", "training", rate=0.5)},
        {"suite": changed("proto", "training", way=10)},
        {"suite": changed("matching", "params", scale=1.0)},
    ],
    ids=str,
)
def test_what_changes_weights_changes_the_training(pack: Pack, change: dict[str, Any]) -> None:
    before, after = trainings(plan(pack)), trainings(plan(pack, **change))
    assert before.keys() == after.keys()
    assert before != after


def test_a_fraction_shortens_steps_and_looks_alike(pack: Pack) -> None:
    whole, half = (plan(pack, rows=("proto",), shots=(1,), fraction=f)[0].training.schedule for f in (1.0, 0.5))
    for name in ("steps", "validate_every"):
        assert getattr(half, name) == getattr(whole, name) / 2
    assert half.rate == whole.rate


def test_a_fixed_training_shot_makes_one_model_for_all_shots(pack: Pack) -> None:
    suite, usual = changed("proto", "training", shot=5), trainings(plan(pack, rows=("proto",)))
    found = [cell for kind in ("fixed", "variable") for cell in plan(pack, suite, rows=("proto",), protocol=kind)]
    assert [cell.identity.shot for cell in found] == [1, 5, None]
    assert {cell.training.id for cell in found} == {usual["proto", 5]}
    with pytest.raises(SuiteError, match=r"proto\.training\.\w+ has values for the shots 1, 5, but none for 3"):
        plan(pack, changed("proto", "training", shot=3, steps={1: 3, 5: 3}), rows=("proto",))


def test_a_training_shot_of_variable_tests_alone_uses_the_model_of_that_shot(pack: Pack) -> None:
    suite, usual = changed("proto", "training", shot={"variable": 5}), trainings(plan(pack, rows=("proto",)))
    assert trainings(plan(pack, suite, rows=("proto",))) == usual
    (variable,) = plan(pack, suite, rows=("proto",), protocol="variable")
    assert variable.training.id == usual["proto", 5]
    assert (variable.identity.shot, variable.identity.train_shot) == (None, 5)


def started(**training: Any) -> Suite:
    """The suite glyphs with a ProtoNet that starts from MatchingNet, which starts from the classifier."""
    content = changed("proto", "training", **training).model_dump()
    content["methods"]["proto"]["start"] = "matching"
    return Suite.model_validate(content)


def test_one_model_for_all_shots_starts_from_one_model(pack: Pack) -> None:
    cells = plan(pack, started(shot=5), rows=("proto",))
    assert [cell.identity.shot for cell in cells] == [1, 5]
    assert len({cell.training.id for cell in cells}) == 1
    assert isinstance(cells[0].training, Training)
    assert [(start.row, start.shot) for start in cells[0].training.upon] == [("knn", None), ("matching", 5)]


def test_a_model_for_every_shot_starts_from_one_of_its_shot(pack: Pack) -> None:
    cells = plan(pack, started(), rows=("proto",))
    assert [[start.shot for start in cell.training.upon] for cell in cells] == [[None, 1], [None, 5]]


def test_selection_sees_validation_classes_only(pack: Pack) -> None:
    assert {cell.training.validation.split for cell in plan(pack)} == {"val"}
    assert {cell.identity.split for cell in plan(pack)} == {"test"}


@pytest.mark.parametrize(("protocol", "way", "shot"), [("fixed", 5, 1), ("k-shot", 5, 1), ("variable", None, None)])
def test_a_classifier_is_validated_at_one_shot_unless_shots_vary(
    pack: Pack, protocol: str, way: int | None, shot: int | None
) -> None:
    validations = {cell.training.validation for cell in plan(pack, rows=("knn",), protocol=protocol)}
    assert {(each.way, each.shot) for each in validations} == {(way, shot)}


def pooled(row: str = "proto", **values: Any) -> Suite:
    return changed(row, "training", **{"way": 4, "tasks": 6, "pool": 8, **values})


def test_a_pool_of_episodes_is_another_training_and_no_pool_is_the_same(pack: Pack) -> None:
    suites = [changed("proto", "training", way=4, tasks=6, pool=None), pooled(), pooled(pool=4), pooled(pool=None)]
    ids = [plan(pack, suite, rows=("proto",), shots=(1,))[0].training.id for suite in suites]
    assert ids[0] == ids[3]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("suite", "variable", "message"),
    [
        (pooled(pool=10), False, "proto.training.pool is 10, with 6 tasks of 4 ways"),
        (pooled(tasks=5), False, "proto.training.pool is 8, with 5 tasks of 4 ways"),
        (pooled(tasks=1), True, "tasks of variable shots are not pooled; leave it out"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(pack: Pack, suite: Suite, variable: bool, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        plan(pack, suite, rows=("proto",), protocol="variable" if variable else "fixed")


def test_a_method_that_does_not_compare_features_is_not_pooled() -> None:
    row = pooled("fomaml").methods["fomaml"]
    with pytest.raises(SuiteError, match=r"methods.fomaml.training.pool .* leave it out"):
        check_row("fomaml", row, load_method("fomaml"))
