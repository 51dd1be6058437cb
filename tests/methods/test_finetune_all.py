"""Finetune of all layers, beside a plain loop on a copy of the model in float64."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsbench.backbones.pretrained import load_pretrained
from fsbench.backbones.specification import PretrainedSpec
from fsbench.engine.evaluation import correct_counts
from fsbench.engine.precision import backbones_in
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.errors import TrainingError
from fsbench.methods.base import FeatureMethod, Method
from fsbench.methods.building import build_frozen
from fsbench.methods.registry import load_method
from fsbench.tasks import Tasks
from helpers.frozen import write_backbone
from helpers.small import PARAMS, build, random_tasks, write_small_pack

SETTINGS = {"momentum": 0.8, "dampening": 0.3, "weight_decay": 1e-2}


def plainly_tuned(
    backbone: nn.Module, features: int, task: Tasks, *, steps: int, rate: float, backbone_rate: float, **settings: float
) -> Tensor:
    """Logits `[Q, way]` of the only task, by a copy of the backbone that `torch.optim.SGD` trains."""
    own = copy.deepcopy(backbone).eval().requires_grad_()
    head = nn.Linear(features, task.way, dtype=torch.float64)
    for weight in head.parameters():
        nn.init.zeros_(weight)
    groups = [{"params": own.parameters(), "lr": backbone_rate}, {"params": head.parameters()}]
    optimiser = torch.optim.SGD(groups, lr=rate, **settings)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(head(own(task.support[0])), task.support_labels[0]).backward()
        optimiser.step()
    return head(own(task.query[0])).detach()


def ready(**changes: object) -> Method:
    method = build("finetune-all", **changes).double()
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return method.eval()


@pytest.mark.parametrize("shot", [2, 7], ids=["at once", "in parts"])
def test_it_is_sgd_on_a_copy_of_the_model(shot: int) -> None:
    method, tasks = ready(steps=4, rate=3.0, backbone_rate=3.0, **SETTINGS), random_tasks(shot=shot)
    found = method.predict(tasks)
    for index in range(2):
        task = tasks[index : index + 1]
        expected = plainly_tuned(
            method.backbone, method.backbone.features, task, steps=4, rate=3.0, backbone_rate=3.0, **SETTINGS
        )
        torch.testing.assert_close(found[index], expected, rtol=1e-9, atol=1e-11)
    still = ready(steps=4, rate=3.0, backbone_rate=0.0, **SETTINGS).predict(tasks)
    assert (still - found).abs().max() > 1e-2 * found.abs().max()  # the steps on the backbone tell


def test_without_steps_on_the_backbone_it_is_finetune() -> None:
    method, tasks = ready(steps=6, rate=3.0, backbone_rate=0.0, **SETTINGS), random_tasks()
    head = build("finetune", steps=6, rate=3.0, **SETTINGS).double().eval()
    assert isinstance(head, FeatureMethod)
    head.backbone.load_state_dict(method.backbone.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(method.predict(tasks), head.predict(tasks), rtol=1e-9, atol=1e-11)


def test_a_network_from_elsewhere_is_tuned_and_left_as_it_came(tmp_path: Path) -> None:
    tensors = write_backbone(tmp_path)
    spec = PretrainedSpec.model_validate(
        {"build": "own.py:Own", "weights": "weights.safetensors", "images": {"size": 28}}
    )
    network = load_pretrained("own", spec, tmp_path).network
    method = build_frozen(
        network, "row", load_method("finetune-all"), PARAMS["finetune-all"], device=torch.device("cpu")
    )
    plain = copy.deepcopy(network.module).double()
    method.double()
    grey = random_tasks()
    tasks = replace(grey, **{name: getattr(grey, name).expand(-1, -1, 3, -1, -1) for name in ("support", "query")})
    with torch.no_grad():
        found = method.predict(tasks)
    expected = plainly_tuned(plain, 6, tasks[:1], **PARAMS["finetune-all"])
    torch.testing.assert_close(found[0], expected, rtol=1e-9, atol=1e-11)
    assert all(torch.equal(weight, tensors[name].double()) for name, weight in network.module.state_dict().items())
    assert not any(weight.requires_grad or weight.grad is not None for weight in network.parameters())


def test_a_backbone_in_bf16_is_tuned_in_it() -> None:
    tasks = random_tasks()
    method = build("finetune-all", rate=3.0).eval()
    single = replace(tasks, support=tasks.support.float(), query=tasks.query.float())
    with torch.no_grad():
        plain = method.predict(single)
        with backbones_in("bf16", method):
            half = method.predict(single)
    assert half.dtype == torch.float32
    assert not torch.equal(half, plain)
    assert (half - plain).norm() < 0.3 * plain.norm()


def test_a_rate_that_is_too_high_is_said(tmp_path: Path) -> None:
    method = build("finetune-all", steps=30, rate=1e8, backbone_rate=1e8)
    store = ImageStore(write_small_pack(tmp_path), "test", torch.device("cpu"), [0.5], [0.5])
    episodes = draw_episodes(pool_of(store.pack, "test"), FixedProtocol("test", 5, 1, 2, 2, 0))
    with pytest.raises(TrainingError, match=r"Finetune \(all layers\) gives logits that are not finite .* lower the"):
        correct_counts(method, store, episodes)
