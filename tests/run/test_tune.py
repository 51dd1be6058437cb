"""Hyper-parameters beside each other on validation classes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch

from fsbench.backbones.pretrained import load_pretrained
from fsbench.cli.tune import _blocks
from fsbench.engine.evaluation import correct_counts
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.methods.building import build_frozen
from fsbench.methods.registry import load_method
from fsbench.run.tune import Tried
from fsbench.stats.intervals import Interval
from fsbench.suite_files import load_suite
from helpers.commands import fsbench, refused
from helpers.frozen import RIDGE, write_backbone
from helpers.small import write_small_pack
from helpers.tiny import SOURCE, write_source, write_suite


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_source(tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    write_backbone(tmp_path)
    path = write_suite(tmp_path / "suite.toml", rows=("knn", "logistic"))
    path.write_text(path.read_text() + RIDGE)
    return path


def tuned(suite: Path, *words: object) -> str:
    result = fsbench(
        "tune", "--suite", suite, "--device", "cpu", "--methods", "ridge", "--try", "penalty=0.01,1", *words
    )
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_every_value_is_measured_on_the_same_validation_episodes(suite: Path, tmp_path: Path, cache: Path) -> None:
    pack = write_source(cache)
    text = tuned(suite)
    assert "ridge: 5-way 1-shot, 5 queries per class, 4 validation episodes a source" in text
    backbone = load_pretrained("own", load_suite(str(suite)).backbones["own"], tmp_path)
    store = ImageStore(pack, "val", torch.device("cpu"), backbone.mean, backbone.std)
    for shot in (1, 5):
        episodes = Sampler(pack, FixedProtocol("val", 5, shot, 5, 4, 1), Rules(False, True)).draw()
        for penalty in (0.01, 1):
            head = build_frozen(
                backbone.network, "row", load_method("ridge"), {"penalty": penalty}, device=store.device
            )
            mean = correct_counts(head, store, episodes).mean() * 4
            line = re.findall(rf"^penalty = {penalty} +([\d.]+) ±", text, flags=re.M)[(1, 5).index(shot)]
            assert float(line) == pytest.approx(mean, abs=0.006)
    assert not [*(tmp_path / "runs").rglob("*.json")]  # neither a record nor a table


def test_features_of_validation_classes_are_all_that_it_needs(suite: Path, tmp_path: Path) -> None:
    val = tmp_path / "val.safetensors"
    made = fsbench(
        "embed", SOURCE, "--suite", suite, "--backbone", "own", "--split", "val", "--precision", "fp32", "--out", val
    )
    assert made.exit_code == 0 and "for 72 images" in made.output
    assert tuned(suite, "--features", val) == tuned(suite)


def test_features_of_test_classes_alone_are_refused(suite: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.safetensors"
    assert fsbench("embed", SOURCE, "--suite", suite, "--backbone", "own", "--out", test).exit_code == 0
    sentence = refused("tune", "--suite", suite, "--methods", "ridge", "--try", "penalty=1,2", "--features", test)
    assert "has no features of" in sentence
    assert sentence.endswith("validation classes by `--split val`.")


def test_a_training_that_is_shared_is_done_once(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--suite", suite, "--out", out, "--shots", "1", "--device", "cpu", "--seeds", "2")
    result = fsbench("tune", *words, "--methods", "logistic", "--try", "strength=0.1,10")
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().splitlines()[-1] in (
        f"params = {{ strength = {{ 1 = {best}, 5 = 1.0, variable = 1.0 }} }}" for best in (0.1, 10)
    )
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(trained) == 2
    assert not (out / "records").exists()
    assert fsbench("run", *words, "--methods", "logistic", "--episodes", "4").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == trained
    assert len([*(out / "records").iterdir()]) == 2


def test_a_value_that_diverges_is_said_to_and_the_others_are_measured(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite.toml", rows=("knn", "cosine"))
    words = ("tune", "--suite", suite, "--device", "cpu", "--methods", "cosine", "--try")
    alone, mixed = fsbench(*words, "scale=1,10"), fsbench(*words, "scale=1e39,1,1e40,10")
    assert alone.exit_code == mixed.exit_code == 0, mixed.output
    assert mixed.output.count("gives logits that are not finite") == 4
    lines = [re.sub("-+", "-", " ".join(line.split())) for line in mixed.stdout.splitlines()]
    for scale in ("1e+39", "1e+40"):
        assert lines.count(f"scale = {scale} diverges –") == 2
    others = [re.sub("-+", "-", " ".join(line.split())) for line in alone.stdout.splitlines()]
    assert [line for line in lines if "diverges" not in line] == others
    assert len({line.split()[3] for line in others if line.startswith("scale")}) > 1  # they differ among themselves
    assert "cosine diverges with every value at 5-way 1-shot" in refused(*words, "scale=1e39")


@pytest.mark.parametrize(("every", "problem"), [(2, "k-NN gives logits that are not"), (4, "the loss of k-NN is not")])
def test_a_shared_training_that_diverges_ends_it_with_its_own_sentence(
    tmp_path: Path, every: int, problem: str
) -> None:
    edits = (
        ("rate = 1e-3", 'rate = 1e6\noptimiser = "adamw"\nweight_decay = 1e6'),
        ("validate_every = 2", f"validate_every = {every}"),
    )
    suite = write_suite(tmp_path / "suite.toml", *edits, rows=("knn", "cosine"))
    words = ("--suite", suite, "--device", "cpu", "--methods", "cosine")
    sentence = refused("run", *words)
    assert sentence.startswith(f"{problem} finite")
    result = fsbench("tune", *words, "--try", "scale=1,10,100")
    assert result.exit_code == 2
    assert result.output.count("not finite") == 1  # it is not begun again for every candidate
    assert result.stderr.rpartition("Error: ")[2].strip() == sentence


def test_the_line_for_the_suite_has_the_best_of_every_shot() -> None:
    protocols = [FixedProtocol("val", 5, shot, 5, 4, 1) for shot in (1, 5)]
    means = [[(50, 60), (80, 80)], [(60, 40), (80, 81)], [(56, 56), (70, 91)]]
    found = Tried(
        "ridge",
        [{"penalty": value, "scale": 2} for value in (0.1, 1.0, 10.0)],
        protocols,
        ["one", "two"],
        [[[Interval(float(mean), 1.0) for mean in sources] for sources in shots] for shots in means],
    )
    *tables, line = _blocks(found, {"penalty": 3.0, "scale": 1, "other": True}, [1, 5])
    assert line.splitlines() == [
        "The highest means, for [methods.ridge] of the suite:",
        "params = { penalty = { 1 = 10.0, 5 = 1.0, variable = 3.0 }, scale = 2, other = true }",
    ]
    assert [found.best(0), found.best(1)] == [2, 1]
    assert tables[0].splitlines()[-1].split() == [
        "penalty",
        "=",
        "10.0,",
        "scale",
        "=",
        "2",
        *["56.00", "±", "1.00"] * 2,
        "56.00",
    ]


def test_sources_without_validation_classes_have_no_say(suite: Path, cache: Path) -> None:
    write_small_pack(cache / "packs" / "other-24px", source="other", size=24, classes=(12, 0, 8), images=12)
    suite.write_text(suite.read_text().replace(f'test = ["{SOURCE}"]', f'test = ["{SOURCE}", "other"]'))
    result = fsbench("tune", "--suite", suite, "--methods", "ridge", "--try", "penalty=1,2", "--shots", "1")
    assert result.exit_code == 0
    assert "other is left out: a 5-way episode needs 5 classes, but the val split has 0" in result.output
    assert re.search(rf"^ +{SOURCE} +mean$", result.stdout, flags=re.M)
    suite.write_text(suite.read_text().replace(f'test = ["{SOURCE}", "other"]', 'test = ["other"]'))
    words = ("tune", "--suite", suite, "--methods", "ridge", "--try", "penalty=1,2")
    assert "the val split has 0" in refused(*words)
    assert "has no classes in the split 'val'" in refused(
        "embed", "other", "--suite", suite, "--backbone", "own", "--split", "val", "--out", "a.safetensors"
    )


@pytest.mark.parametrize(
    ("row", "words", "line"),
    [
        ("{ 1 = 0.5, 5 = 0.001, variable = 0.3 }", ("--shots", "1"), {"1": 7, "5": 0.001, "variable": 0.3}),
        ("{ 1 = 0.5, 5 = 0.001, variable = 0.3 }", (), {"1": 7, "5": 7, "variable": 0.3}),
        ("{ 1 = 0.5, 5 = 0.001 }", (), 7),
        ("{ 1 = 0.5, 5 = 0.001 }", ("--protocol", "variable"), {"1": 0.5, "5": 0.001, "variable": 7}),
        ("{ 1 = 0.5, 5 = 0.001, 10 = 2.0 }", ("--shots", "5,1"), {"1": 7, "5": 7, "10": 2.0}),
        ("0.5", ("--shots", "1"), {"1": 7, "5": 0.5, "variable": 0.5}),
        ("0.5", ("--protocol", "variable"), {"1": 0.5, "5": 0.5, "variable": 7}),
        ("0.5", (), 7),
        ("0.5", ("--shots", "1,2"), {"1": 7, "5": 0.5, "variable": 0.5, "2": 7}),
    ],
)
def test_shots_that_are_not_tried_keep_their_values(
    suite: Path, row: str, words: tuple[str, ...], line: object
) -> None:
    suite.write_text(suite.read_text().replace("penalty = 0.1", f"penalty = {row}"))
    result = fsbench(
        "tune", "--suite", suite, "--device", "cpu", "--methods", "ridge", "--try", "penalty=7", "--episodes", 2, *words
    )
    assert result.exit_code == 0, result.output
    assert tomllib.loads(result.stdout.rstrip().splitlines()[-1]) == {"params": {"penalty": line}}


def test_a_value_may_be_a_table_from_shot_to_value(suite: Path) -> None:
    words = ("tune", "--suite", suite, "--device", "cpu", "--methods", "ridge", "--try", "penalty={1=7,5=8}")
    assert fsbench(*words).stdout.endswith("\nparams = { penalty = { 1 = 7, 5 = 8, variable = 0.1 } }\n\n")


def test_only_test_sources_may_be_absent(tmp_path: Path, cache: Path) -> None:
    write_small_pack(cache / "packs" / "other-24px", source="other", size=24, classes=(12, 0, 8), images=12)
    sources = f'train = "{SOURCE}"\ntest = ["{SOURCE}"]'

    def words(new: str) -> tuple[object, ...]:
        suite = write_suite(tmp_path / "suite.toml", (sources, new), rows=("knn", "cosine"))
        return "--suite", suite, "--data-root", tmp_path / "none", "--methods", "cosine", "--device", "cpu"

    tried = ("--try", "scale=1,10")
    for tested in (f'["{SOURCE}"]', f'["{SOURCE}", "dtd"]'):
        absent = words(f'train = ["{SOURCE}", "dtd"]\ntest = {tested}')
        sentence = refused("tune", *absent, *tried)
        assert sentence.startswith("dtd: ") and sentence == refused("run", *absent)
    there = words(f'train = ["{SOURCE}", "other"]\ntest = ["{SOURCE}", "other", "dtd"]')
    result = fsbench("tune", *there, *tried)
    assert result.exit_code == 0, result.output
    assert re.findall(r"^(\w+) is left out: ", result.stderr, flags=re.M) == ["dtd", "other"]
    trained = [path.name for path in (tmp_path / "runs").rglob("*.safetensors")]
    assert len(trained) == 1 and trained[0].startswith("knn-2sources-")


def test_validation_classes_that_are_tested_elsewhere_have_no_say(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsbench.run.tune.validates_on_tested", lambda *_: "1 of its validation classes are tested")
    sentence = refused("tune", "--suite", suite, "--methods", "ridge", "--try", "penalty=1,2")
    assert "no source of the suite tiny has validation classes that are not tested" in sentence


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--try", "penalty=1"), "no row is named"),
        (("--methods", "ridge", "--try", "strength=1"), "unknown hyper-parameter of ridge 'strength'"),
        (("--methods", "knn", "--try", "strength=1"), "methods.knn is trained with its hyper-parameters"),
        (("--methods", "ridge", "--try", "penalty=0,1"), "penalty is 0: Input should be greater than 0."),
        (("--methods", "ridge", "--try", "penalty=a"), "'penalty=a' is not NAME=VALUE"),
        (("--methods", "ridge", "--try", "penalty="), "'penalty=' is not NAME=VALUE"),
        (("--methods", "ridge", "--try", "penalty={a=1}"), "'a' is no number of shots"),
        (("--methods", "ridge", "--try", "penalty=1", "--try", "penalty=2"), "names a hyper-parameter twice"),
    ],
)
def test_what_cannot_be_tried_is_refused(suite: Path, words: tuple[str, ...], message: str) -> None:
    assert message in refused("tune", "--suite", suite, *words)


def test_one_validation_episode_is_refused(suite: Path) -> None:
    suite.write_text(suite.read_text().replace("number = 4", "number = 1"))
    words = ("tune", "--suite", suite, "--methods", "ridge", "--try", "penalty=1")
    assert "validation.number is 1" in refused(*words)
    assert fsbench(*words, "--episodes", "2", "--shots", "1").exit_code == 0
