from __future__ import annotations

import csv
import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fsbench.cli.main import main
from fsbench.methods.registry import METHODS
from helpers.commands import fsbench, refused, run
from helpers.tiny import SOURCE, contents, write_source, write_suite

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_cache")]

COLUMNS = [
    "suite",
    "method",
    "backbone",
    "train_source",
    "test_source",
    "way",
    "shot",
    "queries",
    "episodes",
    "mean",
    "ci95",
    "rank",
    "transductive",
    "train_seed",
    "episode_set",
]
CELLS = 2 * len(METHODS)  # the suite has a row of every method, at two shots
QUICK = ("--methods", "proto", "--shots", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite") / "tiny.toml")


@pytest.fixture(scope="module")
def finished(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("finished")
    return out, run(suite, out)


def test_a_run_prints_and_writes_its_table(finished: tuple[Path, Result]) -> None:
    out, result = finished
    assert result.stdout.rstrip().endswith((out / "table.md").read_text().rstrip())
    assert "\x1b" not in result.output
    lines = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    assert list(lines[0]) == COLUMNS
    assert len(lines) == len(list((out / "records").iterdir())) == CELLS
    assert {line["shot"] for line in lines} == {"1", "5"}
    assert {line["method"] for line in lines if line["transductive"] == "true"} == {
        "RelationNet (transductive)",
        "fo-MAML (transductive)",
        "MAML (transductive)",
    }
    assert all(not line["rank"] for line in lines if line["transductive"] == "true")


def test_a_run_writes_the_page_of_its_table_and_says_where(finished: tuple[Path, Result], tmp_path: Path) -> None:
    out, result = finished
    page = out / "report" / "index.html"
    assert f"the page: {page} " in result.stderr
    assert fsbench("report", out, "--out", tmp_path).exit_code == 0
    assert page.read_bytes() == (tmp_path / "index.html").read_bytes()
    for name in ("table.md", "table.tex", "table.csv", "table.json", "ranks.csv", "differences.csv"):
        assert (out / "report" / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (out / "ranks.csv").read_text().splitlines()[0] == "method,average_rank"


def test_rank_agrees_with_the_run(finished: tuple[Path, Result]) -> None:
    out, _ = finished
    ranking = json.loads(fsbench("rank", out / "table.csv", "--json").stdout)
    written = {
        line["method"]: float(line["average_rank"])
        for line in csv.DictReader((out / "ranks.csv").read_text().splitlines())
    }
    assert ranking["average"] == pytest.approx(written)


def test_a_second_run_computes_nothing_and_a_fresh_one_all(
    finished: tuple[Path, Result], suite: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(finished[0], tmp_path / "out")

    def stamps() -> dict[str, tuple[int, bytes]]:
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("records/*")}

    before = stamps()
    run(suite, out)
    assert stamps() == before
    run(suite, out, "--methods", "proto", "--fresh")
    assert {name for name, stamp in stamps().items() if stamp != before[name]} == {
        name for name in before if name.startswith("proto-")
    }
    assert contents(out)["ranks.csv"] != contents(finished[0])["ranks.csv"]


def test_a_deterministic_run_says_what_it_costs_and_repeats(suite: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in "ab")
    results = [run(suite, out, "--methods", "proto", "--shots", "1", "--deterministic") for out in (first, second)]
    assert all("Deterministic: on a CPU this costs no time." in result.stderr for result in results)
    assert contents(first) == contents(second)


def test_a_killed_run_goes_on_to_the_same_bytes(finished: tuple[Path, Result], suite: Path, tmp_path: Path) -> None:
    words = ["run", "--suite", str(suite), "--out", str(tmp_path), "--device", "cpu"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "fsbench", *words], **quiet)
    while process.poll() is None and not list(tmp_path.glob("records/*.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert 0 < len(list(tmp_path.glob("records/*.json"))) < CELLS
    run(suite, tmp_path)
    assert contents(tmp_path) == contents(finished[0])


def test_two_runs_in_one_folder_share_the_work(finished: tuple[Path, Result], suite: Path, tmp_path: Path) -> None:
    words = ["run", "--suite", str(suite), "--out", str(tmp_path), "--device", "cpu", "--methods", "proto,foprotomaml"]
    command = [sys.executable, "-m", "fsbench", *words]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert said[0][0] == said[1][0]
    trained = [line for _, stderr in said for line in stderr.splitlines() if re.search(r"step (\d+)/\1,", line)]
    assert len(trained) == len(set(trained)) == 4  # each training once, in one run or the other
    sampled = contents(finished[0])
    assert all(sampled[path.name] == contents(tmp_path)[path.name] for path in tmp_path.glob("records/*"))


@pytest.mark.parametrize(
    ("work", "others"), [("knn-*.safetensors", {"proto"}), (f"proto-*-1shot-*.{SOURCE}", {"proto", "knn", "finetune"})]
)
def test_what_another_run_is_at_comes_last(
    work: str, others: set[str], finished: tuple[Path, Result], suite: Path, tmp_path: Path
) -> None:
    (lock,) = finished[0].glob(f"checkpoints/{work}.lock")
    (tmp_path / "checkpoints").mkdir()
    words = ["run", "--suite", str(suite), "--out", str(tmp_path), "--device", "cpu", "--methods", "knn,finetune,proto"]
    with (tmp_path / "checkpoints" / lock.name).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-m", "fsbench", *words], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any("Waiting for" in line for line in process.stderr)
            done = {path.name.partition("-")[0] for path in tmp_path.glob("records/*.json")}
            fcntl.flock(held, fcntl.LOCK_UN)
            process.stderr.read()
    assert process.returncode == 0
    assert done == others
    sampled = contents(finished[0])
    assert all(sampled[path.name] == contents(tmp_path)[path.name] for path in tmp_path.glob("records/*"))


def test_after_a_wait_for_a_training_what_another_run_tests_still_comes_last(tmp_path: Path, tiny_cache: Path) -> None:
    """Two runs that start together: the other has the training for a moment, and then the test on the first source."""
    write_source(tiny_cache, name="second", seed=1)
    edits = ((f'test = ["{SOURCE}"]', f'test = ["{SOURCE}", "second"]'),)
    suite, out = write_suite(tmp_path / "s.toml", *edits, rows=("proto",)), tmp_path / "out"
    run(suite, out, "--shots", 1)
    (trained,) = out.glob("checkpoints/*.safetensors.lock")
    (tested,) = out.glob(f"checkpoints/*.{SOURCE}.lock")
    for record in out.glob("records/*.json"):
        record.unlink()
    words = ["run", "--suite", str(suite), "--out", str(out), "--device", "cpu", "--shots", "1"]
    with trained.open("a") as training, tested.open("a") as test:
        for held in (training, test):
            fcntl.flock(held, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-m", "fsbench", *words], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any("Waiting for" in line for line in process.stderr)
            fcntl.flock(training, fcntl.LOCK_UN)
            assert any("Waiting for" in line for line in process.stderr)
            done = [path.name for path in out.glob("records/*.json")]
            fcntl.flock(test, fcntl.LOCK_UN)
            process.stderr.read()
    assert process.returncode == 0
    assert [name.split("-")[1] for name in done] == ["second"]
    assert len(list(out.glob("records/*.json"))) == 2


def test_a_run_of_a_part_says_what_else_the_folder_holds(suite: Path, tmp_path: Path) -> None:
    words = ("--shots", 1, "--episodes", 2)
    assert "Records beside" not in run(suite, tmp_path, "--methods", "knn,finetune", *words).stderr
    assert f"in {tmp_path}: 2. fsbench table {tmp_path} makes one table of all." in (
        run(suite, tmp_path, "--methods", "proto", *words).stderr
    )
    assert "Records beside" not in run(suite, tmp_path, "--methods", "knn,finetune,proto", *words).stderr


@pytest.mark.parametrize("damage", ["truncated", "folder"])
def test_a_damaged_record_is_set_aside_and_done_again(
    finished: tuple[Path, Result], suite: Path, tmp_path: Path, damage: str
) -> None:
    out = shutil.copytree(finished[0], tmp_path / "out")
    record = next(out.glob("records/proto-*1shot*"))
    content = record.read_bytes()
    record.unlink()
    record.mkdir() if damage == "folder" else record.write_bytes(content[:99])
    assert "is damaged" in run(suite, out, *QUICK).stderr
    assert record.with_name(f"{record.name}.corrupt").exists()
    assert json.loads(record.read_text())["correct"] == json.loads(content)["correct"]


def test_a_fresh_run_keeps_a_folder_in_the_place_of_a_record(
    finished: tuple[Path, Result], suite: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(finished[0], tmp_path / "out")
    record = next(out.glob("records/proto-*1shot*"))
    content = json.loads(record.read_text())
    record.unlink()
    record.mkdir()
    (record / "kept").write_text("dear")
    run(suite, out, *QUICK, "--fresh")
    assert json.loads(record.read_text())["correct"] == content["correct"]
    assert (record.with_name(f"{record.name}.corrupt") / "kept").read_text() == "dear"


def test_options_select_and_stamp(suite: Path, tmp_path: Path) -> None:
    words = ("--methods", "proto,knn", "--shots", "5", "--seeds", 2, "--training-fraction", 0.5, "--episodes", 7)
    run(suite, tmp_path, *words)
    lines = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {(line["method"], line["shot"], line["train_seed"], line["episodes"]) for line in lines} == {
        (method, "5", seed, "7") for method in ("ProtoNet", "k-NN") for seed in "01"
    }
    assert "**reduced training** (50 % of the suite's length)" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_exported_episodes_give_the_very_same_numbers(
    finished: tuple[Path, Result], suite: Path, tmp_path: Path, tiny_cache: Path, ending: str
) -> None:
    path = tmp_path / f"episodes.{ending}"
    assert fsbench("episodes", "export", suite, "--out", path).exit_code == 0
    loaded = np.load(path) if ending == "npz" else json.loads(path.read_text())
    arrays = {name: np.asarray(loaded[name]) for name in ("classes", "support", "query", "order", "names")}
    assert [arrays[name].shape for name in ("classes", "support", "query", "order")] == [
        (20, 5),
        (20, 5, 1),
        (20, 5, 5),
        (20, 25),
    ]
    assert all(arrays[name].dtype == np.int64 for name in ("classes", "support", "query", "order"))
    images = np.load(tiny_cache / "packs" / "tiny-24px" / "names.npy")
    assert (arrays["names"] == images).all()
    run(suite, tmp_path / "out", "--methods", "proto,fomaml", "--episodes-file", path)
    sampled = contents(finished[0])
    records = {name: record for name, record in contents(tmp_path / "out").items() if "-seed0-" in name}
    assert len(records) == 2
    assert all(sampled[name] == record for name, record in records.items())


def test_a_method_from_a_file_runs(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from fsbench.methods.proto import ProtoNet\n\nclass Mine(ProtoNet):\n    label = 'Mine'\n")
    suite = write_suite(tmp_path / "s.toml", ('method = "proto"', f'method = "{file}:Mine"'), rows=("proto",))
    assert "Mine" in run(suite, tmp_path / "out", "--shots", 1).stdout


@pytest.mark.parametrize(("kind", "right"), [("", "'x'"), (": float", "2"), (": Unknown", "'x'")])
def test_hyper_parameters_are_checked_where_their_types_are_known(tmp_path: Path, kind: str, right: str) -> None:
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\nfrom fsbench.methods.proto import ProtoNet\n\nclass Mine(ProtoNet):\n"
        f"    label = 'Mine'\n    def __init__(self, make, classes, *, own{kind}):\n"
        f"        assert own == {right}\n        super().__init__(make, classes, temperature=1.0)\n"
    )
    mine = ('method = "proto"', 'method = "mine.py:Mine"')
    suite = write_suite(tmp_path / "s.toml", mine, ("temperature = 1.0", f"own = {right}"), rows=("proto",))
    assert "Mine" in run(suite, tmp_path / "out", "--shots", 1).stdout
    if kind == ": float":
        suite = write_suite(tmp_path / "s.toml", mine, ("temperature = 1.0", "own = [2.0]"), rows=("proto",))
        assert "methods.proto.params.own is [2.0]: Input should be a valid number." in refused(
            "run", "--suite", suite, "--out", tmp_path / "out"
        )


def test_lists_name_everything() -> None:
    listed = [line.split()[0] for line in fsbench("methods").stdout.splitlines()]
    assert listed == [info.name for info in METHODS]
    assert {line.split()[0] for line in fsbench("suites").stdout.splitlines()} >= {"glyphs", "omniglot"}


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (('test = ["tiny"]', 'test = ["tinny"]'), "tinny --from FOLDER`; did you mean 'tiny'?"),
        (("queries = 5", "queries = 12"), "needs 13 images a class"),
        (('title = "', "title = = "), "is not valid TOML: Invalid value (at line 2, column 9)."),
        (("width = 8", 'width = "wide"'), "line 12: backbone.width: Input should be a valid integer"),
        (("width = 8", 'width = "8"'), "line 12: backbone.width: Input should be a valid integer"),
        (("seed = 1", "seed = true"), ": validation.seed: Input should be a valid integer"),
        (("hidden = 8\n", ""), "methods.relation.params lacks 'hidden'"),
        (("hidden = 8\n", "hidden = 8\nhiden = 8\n"), "unknown hyper-parameter of relation 'hiden'"),
        (("hidden = 8\n", 'hidden = "8"\n'), "methods.relation.params.hidden is '8': Input should be a valid integer."),
        (("hidden = 8\n", "hidden = { 1 = 8, 5 = 8.5 }\n"), "methods.relation.params.hidden is 8.5: Input should be a"),
        (("strengths = [0.1, 1.0, 10.0]", "strengths = 1"), "strengths is 1: Input should be a valid list."),
        (("strengths = [0.1, 1.0, 10.0]", "strengths = [0.1, true]"), "strengths is [0.1, True]: 1: Input should be"),
        (('method = "proto"', 'method = "prto"'), "unknown method 'prto'; did you mean 'proto'?"),
        (('training = "knn"', 'training = "kn"'), "methods.finetune.training names 'kn', which is no row"),
        (('training = "relation"', 'training = "proto"'), "cannot use the training of proto"),
        (('method = "knn"', 'method = "proto"\nparams = { temperature = 1.0 }'), "but ProtoNet learns from 'episodes'"),
        (("batch = 16", 'batch = "x"'), ": methods.knn.training.batch: Input should be a valid integer"),
        (
            ("batch = 16", 'batch = 16\naugment = "x"'),
            "augment: Input should be a valid boolean; or: Input should be 'crop'.",
        ),
        (("steps = { 1 = 4, 5 = 3 }", "steps = { 1 = 4 }"), "has values for the shots 1, but none for 5"),
    ],
)
def test_a_suite_that_cannot_run_is_one_sentence(tmp_path: Path, edit: tuple[str, str], sentence: str) -> None:
    suite = write_suite(tmp_path / "s.toml", edit)
    assert sentence in refused("run", "--suite", suite, "--out", tmp_path / "out", "--device", "cpu")


def test_the_line_of_a_wrong_value_of_a_training(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.toml", ("batch = 16", 'batch = "x"'))
    line = suite.read_text().splitlines().index('batch = "x"') + 1
    assert f", line {line}: " in refused("run", "--suite", suite, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--suite", "glyps"), "unknown suite 'glyps'; did you mean 'glyphs'?"),
        (("--methods", "prot"), "did you mean 'proto'?"),
        (("--methods", ","), "',' names nothing; leave the option out for all."),
        (("--protocol", "variable", "--shots", "5"), "shots is 5, but episodes of the protocol variable have no"),
        (("--shots", "one"), "'one' is not a positive number of shots."),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--episodes-file", "absent.npz"), "the episode file absent.npz cannot be read"),
    ],
)
def test_a_wrong_option_is_one_sentence(suite: Path, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused("run", "--suite", suite, "--out", tmp_path / "out", *words)


def test_a_fraction_that_is_no_number_is_refused(suite: Path, tmp_path: Path) -> None:
    assert "nan is no number." in refused("run", "--suite", suite, "--out", tmp_path, "--training-fraction", "nan")


def test_absent_data_says_where_it_looked(tiny_cache: Path, tmp_path: Path) -> None:
    sentence = refused("run", "--suite", "omniglot", "--out", tmp_path)
    assert str(tiny_cache / "no-data" / "omniglot") in sentence
    assert "fsbench data prepare omniglot" in sentence


def test_an_out_folder_that_is_a_file(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    assert "cannot create the folder" in refused("run", "--suite", suite, "--out", tmp_path / "out", *QUICK)


def test_cuda_that_is_not_there(suite: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    sentence = refused("run", "--suite", suite, "--out", tmp_path, "--device", "cuda")
    assert sentence == "no CUDA device is available here; use --device cpu, or auto."


def test_images_too_small_for_a_method_are_one_sentence(tmp_path: Path, tiny_cache: Path) -> None:
    write_source(tiny_cache, name=SOURCE, size=16)
    suite = write_suite(tmp_path / "s.toml", ("size = 24", "size = 16"), rows=("relation",))
    refused("run", "--suite", suite, "--out", tmp_path / "out", "--device", "cpu")


def test_the_table_of_a_folder_is_made_again(finished: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(finished[0] / "records", tmp_path / "records")
    shutil.copy(finished[0] / "suite.json", tmp_path)
    assert CliRunner().invoke(main, ["table", str(tmp_path)]).stdout == finished[1].stdout
    for name in ("table.md", "table.csv", "ranks.csv"):
        assert (tmp_path / name).read_bytes() == (finished[0] / name).read_bytes()


def test_a_folder_without_records_has_no_table(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["table", str(tmp_path)])
    assert result.exit_code == 2
    assert "there are no records in" in result.stderr


def test_help_lists_every_command_by_purpose_and_cuts_nothing() -> None:
    text = fsbench("--help").stdout.partition("Run:")[2]
    listed = set(re.findall(r"^  (\S+)", text, flags=re.MULTILINE))
    assert listed == set(main.commands)
    assert "..." not in text


def test_a_method_is_described_with_its_hyper_parameters(tmp_path: Path) -> None:
    text = fsbench("methods", "foprotomaml").stdout
    assert text.startswith(
        "foprotomaml: fo-Proto-MAML, learns from episodes\nhyper-parameters:\n  inner_rate: number, at least 0\n"
        "  train_steps: integer, at least 0\n  test_steps: integer, at least 0\n  temperature: number, above 0\n\n"
    )
    assert "\n  strengths: 2 or more of: number, above 0, at most 1e+06\n" in (
        fsbench("methods", "logistic-ensemble").stdout
    )
    assert "\n  dropout: number, at least 0, below 1\n" in fsbench("methods", "leo").stdout
    assert "\nhyper-parameters: none\n" in fsbench("methods", "knn").stdout
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom fsbench.methods.proto import ProtoNet\n\nclass Mine(ProtoNet):\n    label = 'Mine'\n"
        "    def __init__(self, make, classes, *, own, odd: torch.Tensor): ...\n"
    )
    assert "hyper-parameters:\n  own\n  odd\n" in fsbench("methods", f"{tmp_path / 'mine.py'}:Mine").stdout
    text = fsbench("methods", "fomaml").stdout
    assert "Finn" in text
    assert "unknown method 'fomam'; did you mean 'fomaml'?" in refused("methods", "fomam")
