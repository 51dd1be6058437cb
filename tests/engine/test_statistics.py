from __future__ import annotations

import pytest
import torch

from fsbench.engine.statistics import recompute_statistics
from fsbench.engine.store import ImageStore
from fsbench.errors import DeviceError
from fsbench.methods.base import Method
from helpers.small import build, write_small_pack


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[ImageStore]:
    folder = tmp_path_factory.mktemp("packs")
    packs = [write_small_pack(folder / str(seed), seed=seed) for seed in range(2)]
    return [ImageStore(pack, "train", torch.device("cpu"), [0.5], [0.5]) for pack in packs]


def statistics(method: Method) -> list[torch.Tensor]:
    return [value for name, value in method.state_dict().items() if "running" in name and "backbone" in name]


@pytest.mark.parametrize("number", [1, 2])
def test_statistics_are_those_of_the_training_images(stores: list[ImageStore], number: int) -> None:
    method, images = build("relation"), torch.cat([store.images(store.indices) for store in stores[:number]])
    others = [value.clone() for name, value in method.state_dict().items() if "first_norm" in name]
    recompute_statistics(method, stores[:number], 2000, seed=0)
    first = method.backbone.blocks[0]
    maps = first.conv(images)
    torch.testing.assert_close(first.norm.running_mean, maps.mean((0, 2, 3)), rtol=0.02, atol=0.005)
    torch.testing.assert_close(first.norm.running_var, maps.var((0, 2, 3)), rtol=0.05, atol=0.001)
    assert all(norm.momentum == 0.1 for norm in method.modules() if isinstance(norm, torch.nn.BatchNorm2d))
    after = [value for name, value in method.state_dict().items() if "first_norm" in name]
    assert all(map(torch.equal, others, after))


def test_a_device_with_too_little_memory_is_named(stores: list[ImageStore], monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory")

    method = build("proto")
    monkeypatch.setattr(method.backbone, "forward", without_memory)
    with pytest.raises(DeviceError, match="the device ran out of memory with 100 images at once"):
        recompute_statistics(method, stores, 200, seed=0)


def test_they_forget_what_was_before_and_depend_on_the_seed_alone(stores: list[ImageStore]) -> None:
    method, again, other = build("proto"), build("proto"), build("proto")
    for value in statistics(again):
        value.fill_(7.0)
    for model, seed in ((method, 0), (again, 0), (other, 1)):
        recompute_statistics(model, stores, 150, seed)
    assert all(map(torch.equal, statistics(method), statistics(again)))
    assert not any(map(torch.equal, statistics(method), statistics(other)))
