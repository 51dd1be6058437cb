from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fsbench.cli.main import main
from fsbench.conformance.method import CHECKS, Findings, check_method
from fsbench.conformance.placement import misplaced
from fsbench.errors import UsageError
from fsbench.methods.base import FeatureMethod, Method
from fsbench.methods.proto import ProtoNet
from fsbench.methods.registry import load_method
from helpers.broken_methods import BROKEN, DECLARED, BatchNormInTrainingMode, broken_params
from helpers.small import NAMES, PARAMS

QUICK: dict[str, dict[str, Any]] = {
    name: params | ({"train_steps": 1, "test_steps": 1} if "train_steps" in params else {})
    for name, params in PARAMS.items()
}
MINE = """
import torch.nn.functional as F
from fsbench.methods.base import MetricMethod, prototypes

class CosineProto(MetricMethod):
    label = "CosineProto"

    def __init__(self, make_backbone, classes, *, scale):
        super().__init__(make_backbone, classes)
        self.scale = scale

    def compare(self, support, labels, query, way):
        centres = F.normalize(prototypes(support, labels, way), dim=-1)
        return self.scale * F.normalize(query, dim=-1) @ centres.transpose(1, 2)
"""


def failures(findings: Findings) -> list[str]:
    return [outcome.check for outcome in findings.failures]


def verdicts(findings: Findings) -> dict[str, str]:
    return {outcome.check: outcome.verdict for outcome in findings.outcomes}


@pytest.mark.parametrize("name", NAMES)
def test_the_methods_of_fsbench_pass(name: str) -> None:
    method = load_method(name)
    findings = check_method(method, QUICK[name])
    assert findings.passed, str(findings)
    excused = {check for check, verdict in verdicts(findings).items() if verdict != "pass"}
    embeds_once = issubclass(method, FeatureMethod) and not method.transductive
    assert excused == {*(() if method.separable else ["separable loss"]), *(() if embeds_once else ["features once"])}


@pytest.mark.parametrize(("method", "check"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_fault_is_found_by_the_check_that_is_meant_for_it(method: type[Method], check: str) -> None:
    assert failures(check_method(method, broken_params(method))) == [check]


@pytest.mark.parametrize("method", DECLARED)
def test_what_a_method_declares_is_no_fault(method: type[Method]) -> None:
    findings = check_method(method, {})
    assert findings.passed, str(findings)


def test_every_check_can_fail() -> None:
    assert {check for _, check in BROKEN} == {check.name for check in CHECKS}


def test_batch_normalisation_left_in_training_mode_is_named_as_the_usual_cause() -> None:
    findings = check_method(BatchNormInTrainingMode, {})
    assert set(failures(findings)) >= {"queries apart", "tasks apart", "predict changes nothing"}
    for outcome in findings.failures:
        if outcome.check in ("queries apart", "predict changes nothing"):
            assert "atch normalisation left in training mode" in outcome.usually


def test_without_its_form_a_method_is_not_asked_further() -> None:
    class Wrong(ProtoNet):
        def predict(self, tasks: object) -> torch.Tensor:
            raise KeyError("no such thing")

    findings = check_method(Wrong, PARAMS["proto"])
    first, *others = findings.outcomes
    assert (first.verdict, {other.verdict for other in others}) == ("fail", {"not tried"})
    assert "KeyError" in first.seen
    assert "of its file: 'no such thing'" in first.seen


HERE = torch.ones(3, 4)


@pytest.mark.parametrize(
    "act",
    [
        lambda: HERE + torch.zeros(4, device=HERE.device),
        lambda: HERE + torch.zeros(4).to(HERE.device),
        lambda: HERE + torch.zeros(4).to(device=HERE.device, dtype=HERE.dtype),
        lambda: HERE + torch.zeros(4).to(HERE),
        lambda: HERE + torch.as_tensor(torch.zeros(4), device=HERE.device),
        lambda: HERE + torch.tensor(2.0) * HERE.new_zeros(4),
        lambda: HERE[torch.arange(2)] + HERE[:2],
        lambda: HERE + torch.as_tensor(HERE[0]),
        lambda: HERE + torch.from_numpy(HERE.cpu().numpy()).to(HERE.device),
    ],
)
def test_what_works_on_a_gpu_is_not_misplaced(act: Callable[[], object]) -> None:
    assert misplaced(act) is None


@pytest.mark.parametrize(
    "act",
    [
        lambda: HERE + torch.zeros(4),
        lambda: torch.cat([HERE, torch.zeros(3, 1)], dim=1),
        lambda: HERE * (torch.arange(4) == 2),
        lambda: torch.arange(4)[HERE.argmax(1)],
        lambda: HERE + HERE.cpu(),
        lambda: HERE + torch.as_tensor([1.0] * 4),
        lambda: HERE.numpy(),
    ],
)
def test_what_fails_on_a_gpu_is_misplaced(act: Callable[[], object]) -> None:
    assert misplaced(act) is not None


def test_checking_leaves_the_process_as_it_was_and_says_the_same_again() -> None:
    before = torch.get_rng_state()
    several = [str(check_method(ProtoNet, PARAMS["proto"])) for _ in range(2)]
    assert several[0] == several[1]
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def check(*words: object) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, words)])


def test_a_method_in_a_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    result = check(f"{tmp_path}/mine.py:CosineProto", "--param", "scale=10")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "CosineProto (scale = 10)"
    assert [line.split("  ")[0] for line in lines[2 : 2 + len(CHECKS)]] == [check.name for check in CHECKS]
    assert lines[-1] == "17 of 17 checks passed."


def test_a_failure_says_what_was_seen_expected_and_usual_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("labels, way", "labels.sort().values, way"))
    result = check(f"{tmp_path}/mine.py:CosineProto", "--param", "scale=10")
    assert result.exit_code == 1
    assert "positions                fail" in result.stdout
    assert result.stdout.splitlines()[-1] == "16 of 17 checks passed."
    _, _, detail = result.stdout.partition("\n\npositions\n")
    assert [part.split(":")[0].strip() for part in detail.splitlines() if part[2:3].isupper()] == [
        "Seen",
        "Expected",
        "How it usually comes about",
    ]
    assert "it takes the support set as sorted by class" in " ".join(detail.split())


def test_a_method_of_fsbench_has_the_hyper_parameters_of_a_suite() -> None:
    result = check("relation-transductive")  # glyphs has no row of it
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "RelationNet (hidden = 8)")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing"], "unknown method 'nothing'"),
        (["{folder}/absent.py:Mine"], "there is no method file"),
        (["{folder}/mine.py:Mine"], "mine.py 'Mine'; known: CosineProto"),
        (["{folder}/fails.py:Mine"], "fails when it is read (ZeroDivisionError: division by zero)"),
        (["{folder}/mine.py:CosineProto"], "CosineProto needs a value for 'scale'; give it with --param scale=VALUE."),
        (["proto", "--param", "scale=1"], "unknown hyper-parameter of proto 'scale'"),
        (["matching", "--param", "scale"], "'scale' is not NAME=VALUE."),
    ],
)
def test_a_mistake_in_the_command_ends_with_2_and_a_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "fails.py").write_text("1 / 0\n")
    result = check(*(word.format(folder=tmp_path) for word in words))
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_what_is_out_of_its_range_is_named_and_no_failure_of_the_method() -> None:
    with pytest.raises(UsageError, match=r"^ProtoNet\.temperature is 0: Input should be greater than 0\.$"):
        check_method(ProtoNet, {"temperature": 0})
