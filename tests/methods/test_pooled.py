"""Many tasks on images that are embedded once."""

from __future__ import annotations

import pytest
import torch

from fsbench.methods.base import MetricMethod
from fsbench.methods.registry import METHODS, load_method
from fsbench.tasks import PooledTasks, Tasks
from helpers.small import SIZE, build

POOLING = [info.name for info in METHODS if load_method(info.name).pools]


def pooled(way: int = 4, shot: int = 2, queries: int = 3, splits: int = 3) -> PooledTasks:
    generator = torch.Generator().manual_seed(0)
    each = shot + queries
    images = torch.rand(way * each, 1, SIZE, SIZE, generator=generator, dtype=torch.float64)
    rows = torch.stack([torch.randperm(each, generator=generator) for _ in range(splits * way)]).view(splits, way, each)
    rows += each * torch.arange(way)[:, None]
    labels = torch.arange(way)
    return PooledTasks(
        images=images,
        support=rows[..., :shot].flatten(1),
        support_labels=labels.repeat_interleave(shot).repeat(splits, 1),
        query=rows[..., shot:].flatten(1),
        query_labels=labels.repeat_interleave(queries).repeat(splits, 1),
        way=way,
    )


def apart(pool: PooledTasks) -> Tasks:
    """The same tasks, each with images of its own."""
    images = pool.images
    return Tasks(images[pool.support], pool.support_labels, images[pool.query], pool.query_labels, pool.way)


@pytest.mark.parametrize("name", POOLING)
def test_the_loss_of_pooled_tasks_is_that_of_the_same_tasks_apart(name: str) -> None:
    method, pool = build(name).double().eval(), pooled()
    losses = [method.loss(tasks) for tasks in (pool, apart(pool))]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss, list(method.parameters())) for loss in losses]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("shape", [(1600,), (64, 5, 5)], ids=str)
def test_gradients_of_pooled_tasks_are_the_same_again_with_several_threads(shape: tuple[int, ...]) -> None:
    pool, threads = pooled(way=20, shot=1, queries=6, splits=6), torch.get_num_threads()
    features = torch.randn(len(pool.images), *shape, requires_grad=True)
    weights = torch.randn(*pool.query.shape, *shape)
    torch.set_num_threads(4)
    try:
        query = [pool.gathered(features)[1] for _ in range(6)]
        assert torch.equal(query[0], features[pool.query])
        first, *others = [torch.autograd.grad((each * weights).sum(), features)[0] for each in query]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first, other) for other in others)


def test_the_methods_that_compare_features_pool() -> None:
    embedding_once = [info.name for info in METHODS if issubclass(load_method(info.name), MetricMethod)]
    assert embedding_once == POOLING
    assert {"matching", "proto", "r2d2", "relation"} <= set(POOLING)


@pytest.mark.parametrize("name", POOLING)
def test_training_on_pooled_tasks_embeds_every_image_once(name: str) -> None:
    method, pool = build(name).double(), pooled()
    seen: list[int] = []
    method.backbone.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    method.loss(pool)
    assert seen == [len(pool.images)]
