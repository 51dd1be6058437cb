from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsbench.backbones.registry import BACKBONES
from fsbench.data.card import load_card
from fsbench.errors import SuiteError, UsageError
from fsbench.methods.registry import METHODS, check_row, load_method
from fsbench.recipe import EpisodicTraining, at_shot
from fsbench.suite import UNTRAINED, Suite, list_suites, load_suite
from helpers.tiny import write_suite

SUITES = {suite.name: suite for suite in list_suites()}
SEVEN = {"knn", "finetune", "matching", "proto", "relation", "fomaml", "foprotomaml"}


def test_the_shipped_suites() -> None:
    assert set(SUITES) == {
        *(
            "cifar-fs",
            "fc100",
            "glyphs",
            "metadataset-all",
            "metadataset-ilsvrc",
            "miniimagenet",
            "miniimagenet-published",
        ),
        *("frozen", "omniglot", "omniglot-20way", "omniglot-published", "tieredimagenet"),
    }
    assert all(load_suite(name) == suite for name, suite in SUITES.items())


@pytest.mark.parametrize("suite", list(SUITES.values()), ids=list(SUITES))
def test_a_shipped_suite_is_sound(suite: Suite) -> None:
    assert set(suite.methods) >= SEVEN or suite.backbones
    assert suite.backbone.name in BACKBONES
    named = (source.partition(":") for source in [*suite.sources.train, *suite.sources.test])
    assert all(load_card(name).variant(variant or None) for name, _, variant in named)
    for name, row in suite.methods.items():
        check_row(name, row, load_method(row.method))
        training = suite.methods[suite.trained_as(name)].training
        if training == UNTRAINED:
            continue
        for shot in suite.episodes.shots:
            steps, looks = (at_shot(getattr(training, key), shot, key) for key in ("steps", "validate_every"))
            assert steps >= looks


def test_validation_and_test_have_seeds_of_their_own() -> None:
    assert all(suite.validation.seed != suite.episodes.seed for suite in SUITES.values())


def test_every_listed_method_loads_and_has_a_name_of_its_own() -> None:
    loaded = {info.name: load_method(info.name) for info in METHODS}
    inductive = [method.label for method in loaded.values() if not method.transductive]
    assert len(set(inductive)) == len(inductive)
    for name, method in loaded.items():
        assert method.transductive == name.endswith("-transductive")
        assert method.label in inductive


def test_a_value_may_depend_on_the_shot() -> None:
    assert at_shot(3, 1, "steps") == 3
    assert at_shot({1: 4, 5: 6}, 5, "steps") == 6
    assert at_shot({"1": 4, "variable": 6}, None, "steps") == 6
    for shot, lacking in ((10, "10"), (None, "variable")):
        with pytest.raises(SuiteError, match=rf"steps has values for the shots 1, 5, but none for {lacking}; add"):
            at_shot({1: 4, 5: 6}, shot, "methods.proto.steps")


def test_a_training_that_is_shared_must_exist(tmp_path: Path) -> None:
    file = Path(__file__).parents[1] / "fsbench/suites/glyphs.toml"
    changed = tmp_path / "changed.toml"
    changed.write_text(file.read_text().replace('training = "knn"', 'training = "nobody"'))
    with pytest.raises(SuiteError, match=r"methods\.finetune\.training names 'nobody'"):
        load_suite(str(changed))


def _tiny(tmp_path: Path, *edits: tuple[str, str]) -> str:
    return str(write_suite(tmp_path / "suite.toml", *edits, rows=("proto",)))


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".hidden", "a b", "a" * 65, "x\\n"])
def test_the_name_of_a_row_names_files(tmp_path: Path, name: str) -> None:
    keys = ("[methods.proto", f'[methods."{name}"')  # of the row, its params and its training
    file = _tiny(tmp_path, keys, keys, keys)
    with pytest.raises(SuiteError, match=r"cannot be a name here, which names files; use up to 64 letters"):
        load_suite(file)


TABLE_OF_PARAMS = "temperature is a table, which gives a value for every shot, but "


@pytest.mark.parametrize("key", ["one", "0", "01", "-1", "+1", " 1", "1.0", "1_0", "true", "1234567"])
@pytest.mark.parametrize(
    ("line", "said"),
    [("temperature = 1.0", TABLE_OF_PARAMS), ("rate = 1e-3", ".training.rate")],
    ids=["params", "training"],
)
def test_a_table_goes_by_shots(tmp_path: Path, line: str, said: str, key: str) -> None:
    file = _tiny(tmp_path, (line, f'{line.split()[0]} = {{ 1 = 1.0, "{key}" = 2.0 }}'))
    with pytest.raises(SuiteError, match=re.escape(f"{key!r} is no number of shots; write {{ 1 = ...")) as refused:
        load_suite(file)
    assert said in str(refused.value)


@pytest.mark.parametrize("value", ["true", '"40"', "40.0", "{ 1 = true }", '{ 1 = "40" }', "{ variable = 40.0 }"])
def test_a_number_of_steps_is_an_integer(tmp_path: Path, value: str) -> None:
    file = _tiny(tmp_path, ("steps = { 1 = 4, 5 = 3 }", f"steps = {value}"))
    with pytest.raises(
        SuiteError, match=r"line \d+: methods\.proto\.training\.steps.*: Input should be a valid integer"
    ):
        load_suite(file)


def test_a_training_takes_whole_rates_and_pairs_as_toml_writes_them(tmp_path: Path) -> None:
    lines = "rate = { 1 = 1, variable = 2 }\nbetas = [0, 0.5]\nsmall_first = { 1 = [[12, 0.5]] }"
    training = load_suite(_tiny(tmp_path, ("rate = 1e-3", lines))).methods["proto"].training
    assert isinstance(training, EpisodicTraining)
    assert training.rate == {1: 1.0, "variable": 2.0}
    assert (training.betas, training.small_first) == ((0.0, 0.5), {1: [(12, 0.5)]})


def test_an_unknown_suite_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown suite 'omniglott'; did you mean 'omniglot'"):
        load_suite("omniglott")
