"""A run and what it leaves in its folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fsbench.data.prepared import Prepared, write_pack
from fsbench.errors import DeviceError
from fsbench.provenance import SUITE_FILE, read_suite_order
from fsbench.record_files import read_record
from fsbench.run.options import Options
from fsbench.run.order import Order, Run
from fsbench.suite_files import load_suite
from helpers.commands import fsbench, refused, run
from helpers.small import write_small_pack
from helpers.tiny import SIZE, SOURCE, contents, write_source, write_suite

pytestmark = pytest.mark.usefixtures("tiny_cache")

QUICK = ("--shots", 1, "--episodes", 4)


def test_the_suite_beside_the_records_is_that_of_the_file_not_of_the_options(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "s.toml", ('method = "proto"\n', 'method = "proto"\nlabel = "Mine"\n'), rows=("proto", "knn")
    )
    out = tmp_path / "out"
    run(suite, out, *QUICK, "--methods", "knn")
    first = (out / SUITE_FILE).read_bytes()
    order = read_suite_order(out)
    assert order is not None
    assert (order.name, order.sources, order.shots) == ("tiny", (SOURCE,), (1, 5))
    assert [(row.row, row.label) for row in order.rows] == [("proto", "Mine"), ("knn", None)]
    assert list(order.suite["methods"]) == ["proto", "knn"]
    assert "replaced" not in run(suite, out, *QUICK, "--methods", "proto").stderr
    assert (out / SUITE_FILE).read_bytes() == first


def test_a_run_that_ends_before_its_first_record_leaves_the_suite_of_the_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(write_suite(tmp_path / "s.toml", rows=("proto",)), out, *QUICK)
    before = contents(out)
    code = "from fsbench.methods.proto import ProtoNet\n\nclass Mine(ProtoNet):\n    def loss(self, tasks):\n"
    (tmp_path / "mine.py").write_text(f"{code}        pass\n")
    changed = write_suite(tmp_path / "s.toml", ('method = "proto"', 'method = "mine.py:Mine"'), rows=("proto",))
    assert "has the type NoneType" in refused("run", "--suite", changed, "--out", out, *QUICK)
    after = contents(out)
    assert {name: after[name] for name in before} == before


def test_a_suite_that_changed_is_replaced_and_that_is_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(write_suite(tmp_path / "s.toml", rows=("knn",)), out, *QUICK)
    changed = write_suite(tmp_path / "s.toml", ("number = 20", "number = 30"), rows=("knn",))
    assert f"{out / SUITE_FILE} holds another version of the suite tiny; it is replaced." in (
        run(changed, out, *QUICK).stderr
    )
    assert json.loads((out / SUITE_FILE).read_text())["suite"]["episodes"]["number"] == 30


def test_a_damaged_suite_beside_the_records_is_written_anew(tmp_path: Path) -> None:
    suite, out = write_suite(tmp_path / "s.toml", rows=("knn",)), tmp_path / "out"
    run(suite, out, *QUICK)
    before = (out / SUITE_FILE).read_bytes()
    (out / SUITE_FILE).write_text("{")
    assert "is damaged" in run(suite, out, *QUICK).stderr
    assert (out / SUITE_FILE).read_bytes() == before


def test_a_suite_may_hold_rows_of_several_backbones(tmp_path: Path) -> None:
    own = '\n[methods.wide]\nmethod = "proto"\nparams = { temperature = 1.0 }\n'
    own += '\n[methods.wide.backbone]\nname = "conv4"\nwidth = 4\n\n'
    suite = write_suite(tmp_path / "s.toml", rows=("proto",))
    text = suite.read_text()
    suite.write_text(text + own + text[text.index("[methods.proto.training]") :].replace("proto", "wide"))
    out = tmp_path / "out"
    result = run(suite, out, *QUICK)
    records = {record.identity.row: record for record in map(read_record, (out / "records").iterdir())}
    assert {row: record.backbone_label for row, record in records.items()} == {"proto": "Conv4-8", "wide": "Conv4-4"}
    assert records["wide"].training.parameters < records["proto"].training.parameters
    assert "Conv4-8" in result.stdout
    assert "Conv4-4" in result.stdout
    assert fsbench("plan", "--suite", suite, "--shots", 1).exit_code == 0


@pytest.mark.parametrize(("kind", "words"), [("fixed", ("--shots", 1)), ("variable", ("--protocol", "variable"))])
def test_exported_episodes_without_small_classes_give_the_same_record(
    tmp_path: Path, tiny_cache: Path, kind: str, words: tuple[object, ...]
) -> None:
    pack = write_source(tiny_cache)
    kept = (pack.labels < pack.labels.max()) | (np.arange(len(pack.labels)) < len(pack.labels) - 11)  # 1 of the last
    write_pack(
        tiny_cache / "packs" / "uneven-24px",
        "uneven",
        Prepared(
            images=pack.images[kept],
            labels=pack.labels[kept],
            names=pack.names[kept].tolist(),
            classes=list(pack.classes),
            splits=pack.splits,
            processing={"made": "for tests"},
        ),
    )
    without = (f'test = ["{SOURCE}"]', 'test = ["uneven"]'), ("number = 20", 'number = 20\nsmall_classes = "leave out"')
    suite, file = write_suite(tmp_path / "s.toml", *without, rows=("knn",)), tmp_path / "episodes.npz"
    run(suite, tmp_path / "drawn", *words)
    assert fsbench("episodes", "export", suite, "--protocol", kind, "--out", file).exit_code == 0
    run(suite, tmp_path / "read", "--episodes-file", file, *words)
    drawn, read = (contents(tmp_path / out) for out in ("drawn", "read"))
    assert drawn == read
    assert "1 class left out, which has too few images" in (tmp_path / "read" / "table.md").read_text()


def test_a_fresh_run_trains_anew_what_its_rows_start_from_once(tmp_path: Path) -> None:
    starts = [(f'method = "{row}"\n', f'method = "{row}"\nstart = "knn"\n') for row in ("proto", "matching")]
    suite, out = write_suite(tmp_path / "s.toml", *starts, rows=("knn", "proto", "matching")), tmp_path / "out"
    run(suite, out, *QUICK)

    def written() -> dict[str, int]:
        found = [*out.glob("records/*.json"), *out.glob("checkpoints/*.safetensors")]
        return {path.name: path.stat().st_mtime_ns for path in found}

    before = written()
    said = run(suite, out, *QUICK, "--methods", "proto,matching", "--fresh").stderr
    assert len(re.findall(r"training knn: step (\d+)/\1,", said)) == 1
    after = written()
    [kept] = [name for name in before if after[name] == before[name]]
    assert len(before) == 6 and re.fullmatch(r"knn-.*\.json", kept)  # the record of k-NN, which was not asked for


def test_the_smallest_batch_trains_where_maps_are_one_pixel(tmp_path: Path) -> None:
    edits = [("batch = 16", "batch = 1"), ('name = "conv4"', 'name = "resnet18"')]
    suite, out = write_suite(tmp_path / "s.toml", *edits, rows=("knn",)), tmp_path / "out"
    assert "knn.training.batch: Input should be greater than or equal to 2" in (
        refused("run", "--suite", suite, "--out", out, *QUICK)
    )
    suite.write_text(suite.read_text().replace("batch = 1", "batch = 2"))
    run(suite, out, *QUICK)


def test_a_label_or_deviation_that_changed_since_is_that_of_the_table_and_nothing_is_measured_again(
    tmp_path: Path,
) -> None:
    suite = write_suite(tmp_path / "s.toml", rows=("proto",))
    run(suite, tmp_path / "out", *QUICK)
    before = contents(tmp_path / "out")
    text = suite.read_text().replace('method = "proto"\n', 'method = "proto"\nlabel = "Mine"\ndeviates = "shorter"\n')
    suite.write_text(text)
    assert "training proto" not in run(suite, tmp_path / "out", *QUICK).stderr
    (path,) = (tmp_path / "out" / "records").iterdir()
    record = read_record(path)
    assert (record.label, record.deviates) == ("Mine", "shorter")
    assert contents(tmp_path / "out").keys() == before.keys()
    assert "Mine ‖" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_a_row_that_shares_its_training_at_one_shot_is_tested_after_the_other_row(tmp_path: Path) -> None:
    """The checkpoint has the name of the first, which has nothing left to do."""
    suite, out = write_suite(tmp_path / "s.toml", rows=("proto",)), tmp_path / "out"
    row = suite.read_text()[suite.read_text().index("[methods.proto]") :]
    other = row.replace("methods.proto", "methods.other").replace(
        "temperature = 1.0", "temperature = { 1 = 1.0, 5 = 2.0 }"
    )
    suite.write_text(f"{suite.read_text()}\n{other}")
    run(suite, out, *QUICK, "--methods", "proto")
    assert "training" not in run(suite, out, *QUICK).stderr
    for record in (out / "records").glob("other-*"):
        record.unlink()
    shutil.rmtree(out / "checkpoints")
    run(suite, out, *QUICK)
    assert len(list((out / "records").iterdir())) == 2


@pytest.mark.parametrize("more", [(), ("--fresh",)])
def test_a_folder_of_another_suite_is_refused_and_keeps_what_it_holds(tmp_path: Path, more: tuple[str, ...]) -> None:
    suite = write_suite(tmp_path / "s.toml", rows=("knn",))
    run(suite, tmp_path / "out", *QUICK)
    before = contents(tmp_path / "out")
    suite.write_text(suite.read_text().replace('name = "tiny"', 'name = "other"'))
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", *QUICK, *more)
    assert said == f"{tmp_path / 'out'} holds a run of the suite tiny, not of other; give another --out."
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(("more", "again"), [((), "again"), (("--fresh",), "again without --fresh")])
def test_who_interrupts_a_fresh_run_is_told_to_go_on_without_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], again: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    words = (
        "run",
        "--suite",
        write_suite(tmp_path / "s.toml", rows=("knn",)),
        "--out",
        tmp_path / "out",
        *QUICK,
        *more,
    )
    monkeypatch.setattr("fsbench.run.run.check_models", interrupted)
    monkeypatch.setattr("sys.argv", ["fsbench", *map(str, words)])
    ended = fsbench(*words)
    assert ended.exit_code == 130
    assert f"Interrupted; run the same command {again}: it goes on from whatever was finished." in ended.stderr


def test_a_fresh_run_with_a_row_that_cannot_be_built_keeps_what_there_is(tmp_path: Path) -> None:
    suite, out = write_suite(tmp_path / "s.toml", rows=("knn", "proto")), tmp_path / "out"
    run(suite, out, *QUICK)
    before = contents(out)
    (tmp_path / "mine.py").write_text(
        "from fsbench.methods.proto import ProtoNet\n\nclass Mine(ProtoNet):\n"
        "    def __init__(self, *given, temperature):\n        raise ValueError('not yet')\n"
    )
    broken = write_suite(tmp_path / "s.toml", ('method = "proto"', 'method = "mine.py:Mine"'), rows=("knn", "proto"))
    assert "not yet" in refused("run", "--suite", broken, "--out", out, *QUICK, "--fresh")
    assert contents(out) == before


def test_what_a_trial_left_gives_way_to_the_run_and_is_kept(tmp_path: Path) -> None:
    suite, out = write_suite(tmp_path / "s.toml", rows=("knn", "proto")), tmp_path / "out"
    run(suite, out, *QUICK, "--training-fraction", 0.5)
    trial = {path.name: path.read_bytes() for path in out.glob("records/*.json")}
    ended = run(suite, out, *QUICK, "--methods", "proto", "--episodes", 6)
    assert "1 records in" in ended.stderr and ".superseded" in ended.stderr
    ended = run(suite, out, *QUICK, "--episodes", 6)
    aside = {path.name.removesuffix(".superseded"): path.read_bytes() for path in out.glob("records/*.superseded")}
    assert aside == trial
    again = fsbench("table", out)
    assert (again.exit_code, again.stdout) == (0, ended.stdout)


def test_seeds_of_a_recipe_that_changed_give_way_to_the_run_too(tmp_path: Path) -> None:
    def of_seeds() -> dict[int, tuple[str, str | None]]:
        found = [read_record(path) for path in out.glob("records/*.json")]
        return {record.identity.train_seed: (record.identity.training, record.recipe) for record in found}

    suite, out = write_suite(tmp_path / "s.toml", rows=("proto",)), tmp_path / "out"
    run(suite, out, *QUICK, "--seeds", 3)
    first = of_seeds()
    assert {recipe for _, recipe in first.values()} == {first[0][0]}
    run(suite, out, *QUICK)
    assert of_seeds() == first
    changed = write_suite(tmp_path / "s.toml", ("rate = 1e-3", "rate = 2e-3"), rows=("proto",))
    assert "3 records in" in run(changed, out, *QUICK).stderr
    assert of_seeds().keys() == {0}
    assert fsbench("table", out).exit_code == 0


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (("shots = [1, 5]", "shots = [1, 1]"), "episodes.shots: 1 stands there twice"),
        ((f'test = ["{SOURCE}"]', f'test = ["{SOURCE}", "{SOURCE}"]'), f"sources.test: '{SOURCE}' stands there twice"),
    ],
)
def test_what_stands_in_a_suite_twice_is_refused(tmp_path: Path, edit: tuple[str, str], sentence: str) -> None:
    suite = write_suite(tmp_path / "s.toml", edit, rows=("knn",))
    assert sentence in refused("run", "--suite", suite, "--out", tmp_path / "out", *QUICK)


def test_more_episodes_than_a_file_holds_are_refused(tmp_path: Path) -> None:
    suite, file = write_suite(tmp_path / "s.toml", rows=("knn",)), tmp_path / "episodes.json"
    assert fsbench("episodes", "export", suite, "--episodes", 3, "--out", file).exit_code == 0
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", "--episodes-file", file, "--episodes", 4)
    assert said == "--episodes is 4, but the file holds 3; leave the option out."


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_is_asked_for_only_where_it_computes(tmp_path: Path) -> None:
    suite = load_suite(str(write_suite(tmp_path / "s.toml", rows=("knn",))))
    elsewhere = Run(Order(suite, Options(), tmp_path / "out", "cuda"))  # as on the login node of a cluster
    assert len(elsewhere.plan) == 2
    with pytest.raises(DeviceError, match="no CUDA device is available here"):
        _ = elsewhere.device


def test_a_source_to_train_on_without_training_classes_is_named(tmp_path: Path, tiny_cache: Path) -> None:
    folder = tiny_cache / "packs" / f"untaught-{SIZE}px"
    write_small_pack(folder, source="untaught", size=SIZE, classes=(0, 6, 8))
    sources = f'train = "{SOURCE}"\ntest'
    suite = write_suite(tmp_path / "s.toml", (sources, f'train = ["{SOURCE}", "untaught"]\ntest'), rows=("knn",))
    said = refused("run", "--suite", suite, "--out", tmp_path / "out", *QUICK)
    assert said == "methods.knn cannot train on untaught: it has no training classes."
