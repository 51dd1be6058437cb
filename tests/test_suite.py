from __future__ import annotations

from pathlib import Path

import pytest

from fsbench.backbones.registry import BACKBONES
from fsbench.data.card import load_card
from fsbench.errors import SuiteError, UsageError
from fsbench.methods.registry import METHODS, check_row, load_method, load_methods
from fsbench.recipe import at_shot
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


@pytest.mark.parametrize("table", ["{ one = 1.0 }", "{ 0 = 1.0 }", "{ 1 = 1.0, deep = 2.0 }", '{ "-1" = 2.0 }'])
def test_a_table_of_parameters_goes_by_shots(tmp_path: Path, table: str) -> None:
    file = _tiny(tmp_path, ("temperature = 1.0", f"temperature = {table}"))
    with pytest.raises(SuiteError, match=r"temperature is a table, which gives a value for every shot, but .* is no"):
        load_suite(file)


def test_a_method_is_not_asked_more_ways_than_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load_suite(_tiny(tmp_path))
    monkeypatch.setattr(load_method("proto"), "most_ways", 4)
    with pytest.raises(
        SuiteError, match=r"methods\.proto is trained or tested on 5 ways, but ProtoNet answers 4 at most"
    ):
        load_methods(suite, ["proto"])


def test_an_unknown_suite_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown suite 'omniglott'; did you mean 'omniglot'"):
        load_suite("omniglott")


def test_a_suite_that_builds_on_another_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Its results would otherwise replace those of the other."""
    (tmp_path / "own.toml").write_text('base = "glyphs"\n[episodes]\nway = 3\n')
    with pytest.raises(SuiteError, match=r"own\.toml has a base and no name, and 'glyphs' is taken; give it a name"):
        load_suite(str(tmp_path / "own.toml"))
