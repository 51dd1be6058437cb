from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fsbench.backbones.base import Backbone
from fsbench.backbones.norm import BatchNorm2d, differentiated_twice
from fsbench.engine.precision import backbones_in, pick_precision
from fsbench.methods.base import Method
from fsbench.tasks import Tasks
from helpers.commands import refused
from helpers.small import build, random_tasks

CPU = torch.device("cpu")


def distinct_tasks() -> Tasks:
    """Two tasks whose classes are patterns, with a little noise."""
    tasks, patterns = random_tasks(), torch.rand(5, 1, 28, 28)
    support, query = (
        patterns[labels] + 0.2 * images.float()
        for images, labels in ((tasks.support, tasks.support_labels), (tasks.query, tasks.query_labels))
    )
    return Tasks(support, tasks.support_labels, query, tasks.query_labels, tasks.way)


def gradients(method: Method, tasks: Tasks) -> Tensor:
    """Of the loss, in the weights of the backbone."""
    weights = list(method.backbone.parameters())
    return torch.cat([each.flatten() for each in torch.autograd.grad(method.loss(tasks), weights)])


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


@pytest.mark.parametrize("name", ["fomaml", "fomaml-transductive", "foprotomaml", "anil"])
def test_gradient_methods_adapt_in_bf16_as_they_do_in_fp32(name: str) -> None:
    method, tasks = build(name), distinct_tasks()
    exact, exact_gradients = method.predict(tasks), gradients(method, tasks)
    with backbones_in("bf16", method):
        logits, inexact_gradients = method.predict(tasks), gradients(method, tasks)
    assert not torch.equal(logits, exact)
    assert (logits - exact).std() < 0.15 * exact.std()  # steps add up what is rounded
    assert torch.cosine_similarity(inexact_gradients, exact_gradients, dim=0) > 0.9
    assert torch.equal(method.predict(tasks), exact)


def test_steps_that_are_differentiated_twice_stay_fp32() -> None:
    method, tasks = build("maml"), distinct_tasks()
    exact = method.adapt(tasks, 2)
    with backbones_in("bf16", method):
        assert all(map(torch.equal, method.adapt(tasks, 2).tensors(), exact.tensors()))


class Rough(Backbone):
    """A convolution without any batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor, leading: int | None = None) -> torch.Tensor:
        return self.conv(images).flatten(1)


def test_so_does_what_has_no_batch_normalisation() -> None:
    backbone, images = Rough(), torch.randn(2, 3, 9, 9)
    exact = backbone(images)
    with backbones_in("bf16", backbone):
        assert not torch.equal(backbone(images), exact)
        with differentiated_twice(backbone):
            assert torch.equal(backbone(images), exact)
        assert not torch.equal(backbone(images), exact)


def test_statistics_of_bf16_maps_and_their_gradients_are_fp32() -> None:
    norm = BatchNorm2d(3)
    maps = torch.randn(6, 3, 5, 5).mul(2).add(5).bfloat16().requires_grad_()
    scale, shift = norm.scale_and_shift(maps, norm.weight)
    assert scale.dtype == shift.dtype == torch.float32
    (scale.sum() + (2 * shift).sum()).backward()
    precise, wide = BatchNorm2d(3).double(), maps.detach().double().requires_grad_()
    wanted, wanted_shift = precise.scale_and_shift(wide, precise.weight)
    (wanted.sum() + (2 * wanted_shift).sum()).backward()
    torch.testing.assert_close(scale.double(), wanted, rtol=1e-4, atol=0)
    torch.testing.assert_close(shift.double(), wanted_shift, rtol=1e-4, atol=0)
    assert maps.grad is not None
    assert maps.grad.dtype == torch.bfloat16
    torch.testing.assert_close(maps.grad.double(), wide.grad, rtol=2**-8, atol=1e-5)


def test_an_error_within_a_backbone_ends_the_precision_too() -> None:
    method = build("proto")
    with backbones_in("bf16", method), pytest.raises(RuntimeError):
        method.embed(torch.zeros(2, 7, 28, 28))
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("capability", "said"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_gpus_before_ampere_compute_in_fp32(
    capability: tuple[int, int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    assert pick_precision("auto", torch.device("cuda"), deterministic=False) == said
