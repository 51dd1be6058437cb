"""The Python interface: what `import fsbench` hands on, and what it does."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import fsbench
from fsbench.backbones.registry import build_backbone
from fsbench.cli.run import run as command
from fsbench.data.pack_files import load_pack
from fsbench.engine.training_files import load_trained
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.methods.registry import load_method
from helpers.commands import run
from helpers.tiny import SIZE, SOURCE, write_source, write_suite

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a cache with the tiny source, and its suite."""
    folder = tmp_path_factory.mktemp("api")
    write_source(folder / "cache")
    write_suite(folder / "tiny.toml", rows=("knn", "proto"))
    return folder


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)


def mean_colour(images: torch.Tensor) -> torch.Tensor:
    return images.mean((2, 3))


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in set(fsbench.__all__) - {"__version__"}:
        assert getattr(fsbench, name).__doc__, name
    assert dir(fsbench) == sorted(fsbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = fsbench.evalute  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names_in_the_same_modules() -> None:
    tree = ast.parse(Path(fsbench.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert set(seen) == set(fsbench.__all__) - {"__version__"}
    for name, module in seen.items():
        assert getattr(fsbench, name) is getattr(import_module(str(module)), name)


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys, fsbench\n"
        "fsbench.list_suites(), fsbench.read_records, fsbench.read_record, fsbench.build_table, fsbench.run_suite\n"
        "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules), sorted(sys.modules)\n"
        "fsbench.Method\n"
        "assert 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_from_python_is_that_of_the_command_line(folder: Path) -> None:
    run(folder / "tiny.toml", folder / "cli", "--shots", "1", "--episodes", "10")
    table = fsbench.run_suite("tiny.toml", "python", shots=1, episodes=10, device="cpu")
    assert (folder / "python" / "table.md").read_bytes() == (folder / "cli" / "table.md").read_bytes()
    cells = {record.cell for record in table.records}
    assert cells == {record.cell for record in fsbench.read_records("python")}
    assert cells == {record.cell for record in fsbench.read_records("cli/records")}
    assert cells == set(fsbench.records_frame("python")["cell"])


def test_a_method_is_measured_as_in_a_run(folder: Path) -> None:
    """The same weights on the same episodes give the same answers, also several protocols at once."""
    fsbench.run_suite(fsbench.load_suite("tiny.toml"), "measured", methods="proto", device="cpu")
    (checkpoint,) = (folder / "measured" / "checkpoints").glob("proto-tiny-1shot-*.safetensors")
    suite = fsbench.load_suite("tiny.toml")
    make_backbone = functools.partial(build_backbone, "conv4", channels=1, size=SIZE, width=8)
    model = load_method("proto")(make_backbone, 12, **suite.methods["proto"].params)
    model.to(memory_format=torch.channels_last)  # as in a run
    assert load_trained(checkpoint, model) is not None
    found = fsbench.evaluate(model, suite, device="cpu")
    records = {record.identity.shot: record for record in fsbench.read_records("measured")}
    assert [accuracy.protocol.shot for accuracy in found] == [1, 5]
    assert found[0].source == SOURCE
    assert found[0].correct.tolist() == list(records[1].correct)
    assert found[0].total.tolist() == list(records[1].total)
    assert (found[0].mean, found[0].ci95) == (records[1].mean, records[1].ci95)


def test_a_function_answers_with_the_nearest_mean(folder: Path) -> None:
    """Compared with a plain loop over episodes."""
    pack = load_pack(folder / "cache" / "packs" / f"{SOURCE}-{SIZE}px")
    protocol = FixedProtocol("test", 5, 5, 5, 6, 0)
    episodes = Sampler(pack, protocol, Rules()).draw()
    features = (pack.images.astype(np.float64) / 255 - 0.5).mean((2, 3)) / 0.5
    right = []
    for number in range(len(episodes)):
        support, query = (features[images[number]] for images in (episodes.support_images, episodes.query_images))
        means = [support[episodes.support_labels[number] == label].mean(0) for label in range(5)]
        answers = np.square(query[:, None] - np.stack(means)).sum(-1).argmin(-1)
        right.append(int((answers == episodes.query_labels[number]).sum()))
    (found,) = fsbench.evaluate(mean_colour, "tiny.toml", shots=5, episodes=6, device="cpu")
    assert found.correct.tolist() == right
    assert found.total.tolist() == [25] * 6
    assert str(found) == f"tiny, 5-way 5-shot, 5 queries per class: {found.mean:.2f} ± {found.ci95:.2f}"


def test_only_the_test_sources_need_be_there(folder: Path) -> None:
    """Neither the training source, nor the first test source where the suite can do without it."""
    sources = 'train = "dtd"\ntest = ["fungi", "tiny"]\nabsent = "leave out"'
    write_suite(folder / "absent.toml", (f'train = "{SOURCE}"\ntest = ["{SOURCE}"]', sources), rows=("proto",))
    (found,) = fsbench.evaluate(mean_colour, "absent.toml", shots=1, data_root=folder, device="cpu")
    assert found.source == SOURCE


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fsbench.evaluate("net", "tiny.toml"), "the model is 'net'; give a Method, or a function or module"),  # type: ignore[arg-type]
        (lambda: fsbench.evaluate(lambda images: images[0], "tiny.toml"), r"for N = \d+ images, not \(1, 24, 24\)"),
        (lambda: fsbench.evaluate(lambda images: images.numpy(), "tiny.toml", device="cpu"), "not ndarray"),
        (lambda: fsbench.evaluate(mean_colour, "tiny.toml", shots=0), "shots is 0; every shot must be at least 1."),
        (lambda: fsbench.evaluate(mean_colour, "tiny.toml", episodes=1), "episodes is 1; it must be at least 2."),
        (lambda: fsbench.evaluate(mean_colour, "tiny.toml", protocol="any"), "unknown protocol 'any'"),
        (lambda: fsbench.evaluate(mean_colour, "tiny.toml", image_size=4), "image_size is 4; it must lie between"),
        (lambda: fsbench.evaluate(mean_colour, "tiny"), "unknown suite 'tiny'"),
        (lambda: fsbench.run_suite("tiny.toml", methods="prot"), r"did you mean 'proto'\?"),
        (lambda: fsbench.run_suite("tiny.toml", seeds=0), "seeds is 0; it must be at least 1."),
        (lambda: fsbench.run_suite("tiny.toml", shots="1,5"), "shots is '1,5'; it must be a whole number, or several"),
        (lambda: fsbench.run_suite("tiny.toml", shots=[1, "5"]), r"shots is \[1, '5'\]; it must be a whole"),
        (lambda: fsbench.run_suite("tiny.toml", shots=None), "shots is None; it must be a whole number, or several"),
        (lambda: fsbench.run_suite("tiny.toml", episodes="600"), "episodes is '600'; it must be a whole number."),
        (lambda: fsbench.run_suite("tiny.toml", seeds=1.5), "seeds is 1.5; it must be a whole number."),
        (lambda: fsbench.run_suite("tiny.toml", image_size="84"), "image_size is '84'; it must be a whole number."),
        (lambda: fsbench.run_suite("tiny.toml", training_fraction="1"), "training_fraction is .1.; it must be a"),
        (lambda: fsbench.run_suite("tiny.toml", training_fraction=2), "training_fraction is 2; it must lie above 0"),
        (lambda: fsbench.run_suite("tiny.toml", executor="cloud"), "unknown executor 'cloud'"),
        (lambda: fsbench.run_suite("tiny.toml", ranks="best"), "unknown rule of ranks 'best'"),
        (lambda: fsbench.read_records("nowhere"), "there are no records in nowhere; run a suite with --out nowhere f"),
        (
            lambda: fsbench.evaluate(lambda images: mean_colour(images) / 0, "tiny.toml", device="cpu"),
            r"features that are not finite for \d+ of \d+ images of tiny; look in it for a division by zero",
        ),
    ],
)
def test_a_mistake_is_one_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(fsbench.FsbenchError, match=sentence):
        call()


def test_the_examples_of_the_documentation_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block.replace('"glyphs"', '"tiny.toml"'), names)
    said = capsys.readouterr().out
    assert "ProtoNet" in said
    assert "tiny, 5-way 5-shot, 5 queries per class: " in said
    assert "unknown suite 'glyfs'; did you mean 'glyphs'?" in said


def test_the_documentation_names_all_of_it_and_nothing_else() -> None:
    _, _, table = (DOCS / "python.md").read_text(encoding="utf-8").partition("## All names")
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in cells for name in re.findall(r"`(\w+)`", cell)) == sorted(
        set(fsbench.__all__) - {"__version__"}
    )


def test_a_run_has_the_options_of_the_command() -> None:
    named = {"suite_name": "suite", "rule": "ranks"}
    options = {named.get(str(option.name), option.name) for option in command.params}
    assert options == {*inspect.signature(fsbench.run_suite).parameters}
