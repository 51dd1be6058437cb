from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fsbench.engine.precision import backbones_in, pick_precision
from helpers.commands import refused
from helpers.small import build, random_tasks

CPU = torch.device("cpu")


def processor(monkeypatch: pytest.MonkeyPatch, *, bf16: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)


def test_bf16_is_never_emulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    processor(monkeypatch, bf16=False)
    said = refused("run", "--device", "cpu", "--precision", "bf16", "--out", tmp_path)
    assert said == "this CPU has no bf16 arithmetic; use --precision fp32, or auto."


def test_auto_is_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, bf16=True)
    assert pick_precision("auto", CPU, deterministic=False) == "bf16"
    assert pick_precision("auto", CPU, deterministic=True) == "fp32"
    assert pick_precision("bf16", CPU, deterministic=True) == "bf16"
    assert pick_precision("fp32", CPU, deterministic=False) == "fp32"
    processor(monkeypatch, bf16=False)
    assert pick_precision("auto", CPU, deterministic=False) == "fp32"


@pytest.mark.parametrize("name", ["proto", "relation", "knn"])
def test_only_the_backbone_computes_in_bf16(name: str) -> None:
    method, tasks = build(name).train(), random_tasks()
    images = tasks.support.flatten(0, 1).float()
    inside: list[torch.dtype] = []
    method.backbone.blocks[0].register_forward_hook(lambda _, __, maps: inside.append(maps.dtype))
    exact = method.embed(images)
    with backbones_in("bf16", method):
        features = method.embed(images)
        features.sum().backward()
        assert not torch.is_autocast_enabled("cpu")
    after = method.embed(images)
    assert inside == [torch.float32, torch.bfloat16, torch.float32]
    assert features.dtype == torch.float32
    assert not torch.equal(features, exact) and torch.equal(after, exact)
    torch.testing.assert_close(features, exact, atol=0.15, rtol=0.05)
    assert all(state.dtype in (torch.float32, torch.int64) for state in method.state_dict().values())
    assert all(weight.grad.dtype == torch.float32 for weight in method.backbone.parameters())


def test_statistics_of_leading_images_stay_exact() -> None:
    method, tasks = build("fomaml"), random_tasks()
    tasks = type(tasks)(tasks.support.float(), tasks.support_labels, tasks.query.float(), tasks.query_labels, tasks.way)
    exact = method.predict(tasks)
    with backbones_in("bf16", method):
        assert torch.equal(method.predict(tasks), exact)


def test_an_error_within_a_backbone_ends_the_precision_too() -> None:
    method = build("proto")
    with backbones_in("bf16", method), pytest.raises(RuntimeError):
        method.embed(torch.zeros(2, 7, 28, 28))
    assert not torch.is_autocast_enabled("cpu")
