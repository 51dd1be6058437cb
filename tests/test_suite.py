from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsbench.backbones.registry import BACKBONES
from fsbench.data.card import load_card
from fsbench.errors import SuiteError, UsageError
from fsbench.methods.registry import METHODS, check_row, load_method
from fsbench.recipe import UNTRAINED, EpisodicTraining, at_shot
from fsbench.suite import Suite
from fsbench.suite_files import list_suites, load_suite
from helpers.commands import refused
from helpers.tiny import write_suite

SUITES = {suite.name: suite for suite in list_suites()}
SEVEN = {"knn", "finetune", "matching", "proto", "relation", "fomaml", "foprotomaml"}


def test_the_shipped_suites() -> None:
    assert set(SUITES) == {
        *(
            "cifar-fs",
            "fc100",
            "glyphs",
            "glyphs-all",
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


def write(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_suite_that_builds_on_another_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Its results would otherwise replace those of the other."""
    file = write(tmp_path / "own.toml", 'base = "glyphs"\n[episodes]\nway = 3\n')
    with pytest.raises(
        SuiteError, match=r"own\.toml, line 1: base is 'glyphs', whose name is taken; give this suite a"
    ):
        load_suite(file)


def test_a_suite_may_build_on_one_that_builds_on_another(tmp_path: Path) -> None:
    file = write(tmp_path / "own.toml", 'base = "metadataset-all"\nname = "own"\n[episodes]\nway = 3\n')
    own, base = load_suite(file), load_suite("metadataset-all")
    assert (own.name, own.episodes.way, own.title) == ("own", 3, base.title)
    assert (own.sources, own.methods) == (base.sources, base.methods)


def test_a_base_may_be_a_path_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "birds.toml", 'base = "glyphs"\nname = "birds"\ntitle = "Birds"\n')
    middle = write(tmp_path / "deep" / "middle.toml", 'base = "../birds.toml"\nname = "middle"\n')
    write(tmp_path / "deep" / "top.toml", f'base = "{middle}"\nname = "top"\n')
    for folder, path in ((tmp_path, "deep/top.toml"), (tmp_path / "deep", "top.toml")):
        monkeypatch.chdir(folder)
        assert (load_suite(path).name, load_suite(path).title) == ("top", "Birds")


def test_paths_in_a_base_are_those_beside_it(tmp_path: Path) -> None:
    code = "from fsbench.methods.proto import ProtoNet\nclass Mine(ProtoNet):\n    label = 'of the base'\n"
    for name in ("mine.py", "ours.pt"):
        write(tmp_path / "base" / name, code)
    write(
        tmp_path / "base" / "base.toml",
        'base = "glyphs"\nname = "base"\n[methods.proto]\nmethod = "mine.py:Mine"\n[methods.matching]\n'
        f'method = "there.py:Mine"\n[backbone]\nname = "{tmp_path}/net.py:Net"\n'
        '[backbones.ours]\nbuild = "timm:x"\nweights = "ours.pt"\nlabel = "ours.pt"\n',
    )
    suite = load_suite(write(tmp_path / "top" / "top.toml", 'base = "../base/base.toml"\nname = "top"\n'))
    assert load_method(suite.methods["proto"].method, suite.folder).label == "of the base"
    assert suite.methods["proto"].method == "../base/mine.py:Mine"  # wherever the folder of both lies
    assert suite.methods["matching"].method == "there.py:Mine"  # may be in the working folder
    assert suite.backbone.name == f"{tmp_path}/net.py:Net"
    assert (suite.backbones["ours"].weights, suite.backbones["ours"].label) == ("../base/ours.pt", "ours.pt")
    beside = load_suite(write(tmp_path / "base" / "top.toml", 'base = "base.toml"\nname = "top"\n'))
    assert beside.methods["proto"].method == "mine.py:Mine"


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        ('"own.toml"', r"line 1: base leads back to .*own\.toml: .*own\.toml on .*own\.toml; leave one of them out\."),
        (
            '"other.toml"',
            r"other\.toml, line 1: base leads back to .*own.toml: .*own.toml on .*other.toml on .*own.toml",
        ),
        ('"absent.toml"', r"the suite file .*absent\.toml cannot be read"),
        ('"glyps"', "base is no suite: unknown suite 'glyps'; did you mean 'glyphs'?"),
        ("3", "line 1: base is 3, which is no name of a suite and no path"),
    ],
)
def test_a_base_that_cannot_be_is_one_sentence(tmp_path: Path, base: str, sentence: str) -> None:
    write(tmp_path / "other.toml", 'base = "own.toml"\nname = "other"\n')
    with pytest.raises(SuiteError, match=sentence):
        load_suite(write(tmp_path / "own.toml", f'base = {base}\nname = "own"\n'))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (("way = 5", "way = 5\nways = 3"), "line 20: episodes.ways: unknown key 'ways'; did you mean 'way'?"),
        (
            ("rate = 1e-3", "rate = 1e-3\npace = 1"),
            "proto.training.pace: unknown key 'pace'; did you mean 'patience'?",
        ),
        (("rate = 1e-3", "raet = 1e-3"), "proto.training.raet: unknown key 'raet'; did you mean 'rate'?"),
        (("rate = 1e-3", "rate = 1e-3\nbatch = 8"), "proto.training.batch: unknown key 'batch'; known: augment, betas"),
        (
            ('method = "proto"', 'methd = "proto"\nmethod = "x"'),
            "proto.methd: unknown key 'methd'; did you mean 'method'?",
        ),
        (
            ('name = "tiny"', 'name = "Tiny Suite"'),
            "1: name: a name has small letters, digits and hyphens, unlike 'Tiny S",
        ),
        (('name = "tiny"\n', ""), "toml: name: it is missing; add it."),
        (('kind = "episodes"', 'kind = "epochs"'), ": 'kind' is 'epochs', not one of 'episodes', 'batches'"),
        (("std = [0.5]", "std = [0.5, 0.5]"), "line 4: images: mean and std need 1 values, one for every channel."),
        (("[backbone]", '[methods]\nx = "y"\n[backbone]'), "line 11: methods.x: 'y' is no table of keys and values."),
        (
            ('method = "proto"', 'method = "proto"\nstart = "prot"'),
            "'prot', which is no row with a training; known: none.",
        ),
    ],
)
def test_what_is_wrong_in_a_suite_is_said_plainly(tmp_path: Path, edit: tuple[str, str], sentence: str) -> None:
    with pytest.raises(SuiteError) as refusal:
        load_suite(_tiny(tmp_path, edit))
    assert sentence in str(refusal.value)
    assert str(refusal.value)[-1] in ".?" and str(refusal.value)[-2] not in ".?"


def test_a_row_whose_training_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = write_suite(tmp_path / "s.toml", ('training = "knn"', 'training = "kn"'), rows=("knn", "ridge"))
    with pytest.raises(
        SuiteError, match=r"methods\.ridge\.training names 'kn', .* with a training; did you mean 'knn'\?$"
    ):
        load_suite(str(file))


def test_what_is_wrong_in_a_base_is_said_of_the_base(tmp_path: Path) -> None:
    write(tmp_path / "base.toml", 'base = "glyphs"\nname = "base"\n\n[episodes]\nwy = 4\n')
    with pytest.raises(SuiteError, match=r"base\.toml, line 5: episodes\.wy: unknown key 'wy'; did you mean 'way'"):
        load_suite(write(tmp_path / "own.toml", 'base = "base.toml"\nname = "own"\n'))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "glyphs"), "Got unexpected extra argument (glyphs); a suite is named by --suite."),
        (
            ("plan", "--suite", "miniimagenet", "--protocol", "variable"),
            "the suite miniimagenet has no trainings for variable shots (methods.matching.training.tasks); take frozen "
            "or metadataset-all or metadataset-ilsvrc, or give the values in a suite of your own.",
        ),
        (
            ("plan", "--suite", "omniglot", "--methods", "fomaml", "--protocol", "variable"),
            "the suite omniglot has no trainings for variable shots (methods.fomaml.training.tasks); take frozen or",
        ),
        (("plan", "--suite", "frozen", "--download"), "without a file; say which: --backbone timm:NAME.tag."),
    ],
)
def test_a_command_that_does_not_fit_its_suite_says_what_would(words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(*words)
