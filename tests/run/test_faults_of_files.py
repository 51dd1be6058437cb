"""What a user's own method or backbone raises is a sentence about its file, not a fault of fsbench."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.commands import fsbench
from helpers.tiny import write_suite

pytestmark = pytest.mark.usefixtures("tiny_cache")

METHOD = """from fsbench.methods.proto import ProtoNet
import helping

class Other(ProtoNet):
    label = "Other"

class Mine(ProtoNet):
    label = "Mine"
    def compare(self, *given):
        {line}
        return super().compare(*given)
"""
BACKBONE = """from fsbench.backbones.conv4 import Conv4

class Net(Conv4):
    def forward(self, images, leading=None):
        {line}
        return super().forward(images, leading)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "helping.py").write_text("def ask(answer):\n    return {}[answer]\n")
    (tmp_path / "mine.py").write_text(METHOD.format(line="scal"))
    (tmp_path / "net.py").write_text(BACKBONE.format(line="pass"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(folder: Path, *words: object) -> str:
    rows = ('method = "proto"', 'method = "mine.py:Mine"'), ('method = "matching"', 'method = "mine.py:Other"')
    same = ("scale = 100.0", "temperature = 1.0")
    suite = write_suite(folder / "suite.toml", *rows, same, rows=("matching", "proto"))
    result = fsbench("run", "--suite", suite.name, "--shots", 1, "--episodes", 4, "--device", "cpu", *words)
    assert result.exit_code == 2, result.output
    (sentence,) = re.findall("^Error: (.*)$", result.stderr, re.MULTILINE)
    return str(sentence)


@pytest.mark.parametrize("words", [(), pytest.param(("--executor", "processes"), marks=pytest.mark.slow)])
def test_of_a_method_with_the_line_and_how_to_check_it(folder: Path, words: tuple[str, ...]) -> None:
    assert said(folder, *words) == (
        "mine.py, line 10, raises NameError: name 'scal' is not defined; `fsbench check mine.py:Mine` says more."
    )


def test_of_a_module_beside_it(folder: Path) -> None:
    (folder / "mine.py").write_text(METHOD.format(line="helping.ask('what')"))
    assert (
        said(folder, "--methods", "proto")
        == "helping.py, line 2, raises KeyError: 'what'; `fsbench check mine.py:Mine` says more."
    )


def test_of_a_backbone(folder: Path) -> None:
    (folder / "mine.py").write_text(METHOD.format(line="pass"))
    (folder / "net.py").write_text(BACKBONE.format(line="raise NotImplementedError"))
    assert said(folder, "--backbone", "net.py:Net") == "net.py, line 5, raises NotImplementedError; fix it."


def test_memory_is_nobodys_fault(folder: Path) -> None:
    (folder / "mine.py").write_text(METHOD.format(line="raise MemoryError"))
    assert said(folder).startswith("there is too little memory for that")


def test_a_loss_without_a_gradient_is_named(folder: Path) -> None:
    code = METHOD.format(line="pass") + "    def loss(self, data):\n        return super().loss(data).detach()\n"
    (folder / "mine.py").write_text(code)
    assert said(folder).startswith("the loss of Mine depends on no weight that is trained; compute it from their")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("    def loss(self, data):\n        return None\n", "the loss of Mine has the type NoneType; return a scalar"),
        (
            "    def loss(self, data):\n        return super().loss(data)[None]\n",
            "the loss of Mine has the shape [1]; ",
        ),
        (
            "    def loss(self, data):\n        return super().loss(data) * float('nan')\n",
            "the loss of Mine is not finite at step 2; mend how it is computed",
        ),
        (
            "    def compare(self, *given):\n        return super().compare(*given)[..., 1:]\n",
            "Mine gives logits of shape [2, 25, 4] for 25 queries of each of 2 tasks of 5 classes; "
            "give logits of shape [2, 25, 5].",
        ),
        (
            "    def compare(self, *given):\n        super().compare(*given)\n",
            "Mine gives a NoneType for 25 queries of each of 2 tasks of 5 classes; give logits of shape [2, 25, 5].",
        ),
        (
            "    def predict(self, tasks):\n        return -super().predict(tasks)\n",
            "methods.proto: Mine has a `predict` of its own, which no run calls",
        ),
        (
            "    transductive = True\n    def predict(self, tasks):\n        pass\n",
            "Mine gives a NoneType for 25 queries of each of ",
        ),
    ],
)
def test_what_a_method_gives_is_looked_at_where_it_is_used(folder: Path, body: str, sentence: str) -> None:
    (folder / "mine.py").write_text(METHOD.format(line="pass") + body)
    assert said(folder, "--methods", "proto").startswith(sentence)


def test_a_class_that_lacks_a_method_is_named(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from fsbench.methods.base import MetricMethod\n\nclass Mine(MetricMethod):\n    label = 'Mine'\n\n"
        "class Other(Mine):\n    def compare(self, *given):\n        pass\n"
    )
    assert said(folder) == "'mine.py:Mine' lacks compare; write what docs/add-a-method.md says of it."


def test_a_class_that_is_misspelt_is_unknown(folder: Path) -> None:
    (folder / "mine.py").write_text(METHOD.format(line="pass").replace("class Mine", "class Mein"))
    assert "unknown class of" in said(folder) and said(folder).endswith("mine.py 'Mine'; did you mean 'Mein'?")


def test_a_normalisation_of_torch_is_named(folder: Path) -> None:
    (folder / "mine.py").write_text(METHOD.format(line="pass"))
    wrong = "for block in self.blocks: block.norm = __import__('torch').nn.BatchNorm2d(8)"
    (folder / "net.py").write_text(BACKBONE.format(line=wrong))
    assert re.fullmatch(
        r"net.py, line \d+, raises TypeError: torch\S+BatchNorm2d is no fsbench.backbones.norm.BatchNorm2d.*fix it.",
        said(folder, "--backbone", "net.py:Net"),
    )
