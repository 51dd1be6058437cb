"""Whole runs on several sources, from pretrained backbones, and on variable ways and shots."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from fsbench.record_files import read_record
from fsbench.suite_files import load_suite
from helpers.commands import fsbench, refused, run
from helpers.tiny import SIZE, SOURCE, contents, write_source, write_suite

pytestmark = pytest.mark.slow

SOURCES = f'train = "{SOURCE}"\ntest = ["{SOURCE}"]'
TWO = (SOURCES, f'train = ["{SOURCE}", "other"]\ntest = ["{SOURCE}", "other", "dtd"]\nabsent = "leave out"')


@pytest.fixture(scope="module", autouse=True)
def cache(tiny_cache: Path) -> Path:
    write_source(tiny_cache, name="other", seed=1)
    return tiny_cache


def lines_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "table.csv").read_text().splitlines()))


def test_a_run_on_two_sources_names_what_is_left_out(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite.toml", TWO, rows=("knn", "proto"))
    result = run(suite, tmp_path / "out", "--cell-ranks")
    assert "dtd is left out: dtd: " in result.stderr
    lines = lines_of(tmp_path / "out")
    assert {(line["test_source"], line["train_source"]) for line in lines} == {
        (SOURCE, f"{SOURCE}+other"),
        ("other", f"{SOURCE}+other"),
    }
    table = (tmp_path / "out" / "table.md").read_text()
    assert "Left out" in table and "dtd" in table
    records = [read_record(path) for path in (tmp_path / "out" / "records").iterdir()]
    assert all(record.absent == {"dtd": "its files are not there"} for record in records)
    assert all(record.features == 8 for record in records)
    again = run(suite, tmp_path / "again", "--cell-ranks")
    assert again.stdout == result.stdout
    asked = write_suite(suite, (TWO[0], TWO[1].replace('"dtd"]', '"dtd", "fungi"]')), rows=("knn", "proto"))
    assert "fungi" in run(asked, tmp_path / "again").stdout
    records = [read_record(path) for path in (tmp_path / "again" / "records").iterdir()]
    assert all(set(record.absent) == {"dtd", "fungi"} for record in records)
    run(write_suite(suite, TWO, rows=("knn", "proto")), tmp_path / "again", "--cell-ranks")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


@pytest.mark.parametrize("row", ["proto", "relation"])
def test_a_row_may_start_from_the_backbone_of_another(tmp_path: Path, row: str) -> None:
    start = (f'method = "{row}"\n', f'method = "{row}"\nstart = "knn"\n')
    still = ("steps = { 1 = 4, 5 = 3 }\nrate = 1e-3", "steps = 1\nrate = 1e-30")  # a training that changes nothing
    suite = write_suite(tmp_path / "suite.toml", start, still, rows=(row, "knn"))
    run(suite, tmp_path / "alone", "--methods", row, "--shots", "1")
    [path] = (tmp_path / "alone" / "records").iterdir()
    assert read_record(path).identity.initialised_from == "knn"
    assert "the backbone of knn" in (tmp_path / "alone" / "table.md").read_text()
    random = write_suite(tmp_path / "random.toml", still, rows=(row, "knn"))
    run(random, tmp_path / "random", "--methods", row, "--shots", "1")
    [other] = (tmp_path / "random" / "records").iterdir()
    assert read_record(path).correct != read_record(other).correct
    run(suite, tmp_path / "alone", "--shots", "1")  # the training of k-NN is there already
    assert len(list((tmp_path / "alone" / "checkpoints").glob("*.safetensors"))) == 2


@pytest.mark.parametrize(
    ("rows", "text", "message"),
    [
        (("proto", "knn"), 'start = "finetune"', "methods.proto.start names 'finetune'"),
        (("proto", "matching"), 'start = "proto"', "methods.proto.start leads back to 'proto': proto from proto"),
    ],
)
def test_a_start_that_cannot_be_is_refused(tmp_path: Path, rows: tuple[str, ...], text: str, message: str) -> None:
    suite = write_suite(tmp_path / "suite.toml", ('method = "proto"\n', f'method = "proto"\n{text}\n'), rows=rows)
    assert message in refused("run", "--suite", suite, "--out", tmp_path / "out")


def test_every_row_runs_on_variable_ways_and_shots(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite.toml", variable=True)
    words = ("--protocol", "variable", "--episodes", "4")
    run(suite, tmp_path / "out", *words)
    lines = lines_of(tmp_path / "out")
    assert len(lines) == len(load_suite(str(suite)).methods)
    assert {(line["way"], line["shot"], line["queries"]) for line in lines} == {("", "", "")}
    record = read_record(next((tmp_path / "out" / "records").iterdir()))
    assert record.identity.sampler == "variable-1"
    assert len(set(record.total)) > 1
    assert "up to 500 support images" in (tmp_path / "out" / "table.md").read_text()


def test_exported_variable_episodes_give_the_same_records(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite.toml", rows=("knn", "proto"), variable=True)
    words = ("--protocol", "variable", "--episodes", 5)
    run(suite, tmp_path / "drawn", *words)
    assert fsbench("episodes", "export", suite, *words, "--out", tmp_path / "file.json").exit_code == 0
    run(suite, tmp_path / "read", "--protocol", "variable", "--episodes-file", tmp_path / "file.json")
    assert contents(tmp_path / "drawn") == contents(tmp_path / "read")
    assert "use --protocol variable" in refused(
        "run", "--suite", suite, "--out", tmp_path / "fixed", "--episodes-file", tmp_path / "file.json"
    )


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ((("tasks = 1", "tasks = 2"),), "tasks of variable shots are taken one a step; set it to 1"),
        (
            (("steps = 3", "steps = { 1 = 3, 5 = 3 }"),),
            "but none for variable; add variable = ... there, or one value for all",
        ),
    ],
)
def test_what_variable_shots_cannot_have_is_one_sentence(
    tmp_path: Path, edits: tuple[tuple[str, str], ...], message: str
) -> None:
    suite = write_suite(tmp_path / "suite.toml", *edits, rows=("proto",), variable=True)
    assert message in refused("run", "--suite", suite, "--out", tmp_path / "out", "--protocol", "variable")


def test_values_of_fixed_shots_have_one_for_variable_shots_beside_them(tmp_path: Path) -> None:
    """A pool is one of fixed shots alone."""
    edits = (
        ("temperature = 1.0", "temperature = { 1 = 1.0, 5 = 2.0, variable = 3.0 }"),
        ("tasks = 2", "tasks = { 1 = 2, 5 = 2, variable = 1 }\npool = { 1 = 5, 5 = 5 }"),
        ("steps = { 1 = 4, 5 = 3 }", "steps = { 1 = 4, 5 = 3, variable = 2 }"),
    )
    suite = write_suite(tmp_path / "suite.toml", *edits, rows=("proto",))
    run(suite, tmp_path / "out", "--shots", 5)
    run(suite, tmp_path / "out", "--protocol", "variable", "--episodes", 5)
    records = [read_record(path) for path in (tmp_path / "out" / "records").iterdir()]
    found = {
        record.identity.shot: (record.identity.params["temperature"], record.training.planned_steps)
        for record in records
    }
    assert found == {5: (2.0, 3), None: (3.0, 2)}


def test_backbone_and_image_size_can_be_chosen(tmp_path: Path, cache: Path) -> None:
    suite = write_suite(tmp_path / "suite.toml", rows=("proto",))
    write_source(cache, size=32)
    run(suite, tmp_path / "out", "--shots", 1, "--backbone", "resnet18", "--image-size", 32)
    [path] = (tmp_path / "out" / "records").iterdir()
    identity = read_record(path).identity
    assert (identity.backbone["name"], identity.images["size"]) == ("resnet18", 32)
    assert SIZE != 32


def test_a_suite_builds_on_another(tmp_path: Path) -> None:
    above = tmp_path / "own.toml"
    above.write_text('base = "glyphs"\nname = "own"\n[episodes]\nway = 4\n')
    result = fsbench("episodes", "export", above, "--episodes", 2, "--out", tmp_path / "file.json")
    assert result.exit_code == 0, result.output
    assert len(json.loads((tmp_path / "file.json").read_text())["classes"][0]) == 4
    for words, sentence in ((("--way", 5), "--way is 5"), (("--shot", 2), "shots is 2")):
        said = refused("episodes", "export", above, "--protocol", "variable", *words, "--out", tmp_path / "file.json")
        assert f"{sentence}, but episodes of the protocol variable have no fixed" in said
    above.write_text('base = "glyphs"\nname = "own"\n[episodes]\nwy = 4\n')
    assert "line 4: episodes.wy" in refused("run", "--suite", above, "--out", tmp_path)
    above.write_text('base = "nothing"\nname = "own"\n')
    assert "line 1: base is no suite: unknown suite 'nothing'; known: cifar-fs" in refused(
        "run", "--suite", above, "--out", tmp_path
    )
