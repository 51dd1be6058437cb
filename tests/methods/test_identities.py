"""Methods beside plain forms of the same mathematics."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F

from fsbench.backbones.registry import build_backbone
from fsbench.errors import SuiteError
from fsbench.methods.base import Method
from fsbench.methods.registry import load_method
from fsbench.methods.relation import RelationNet
from fsbench.tasks import Batch, Tasks
from helpers.plain import plain_finetune, plain_relation
from helpers.small import NAMES, PARAMS, build, random_tasks

NINE = pytest.mark.parametrize("name", NAMES)
LABELS = torch.arange(5).repeat_interleave(3).repeat(4, 1)


def features(count: int, seed: int, dimension: int = 8) -> torch.Tensor:
    return torch.randn(4, count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sized(name: str, size: int, *, channels: int = 1, width: int = 8) -> Method:
    """A method in float64 for images of a size."""
    make_backbone = functools.partial(build_backbone, "conv4", channels=channels, size=size, width=width)
    torch.manual_seed(0)
    return load_method(name)(make_backbone, 12, **PARAMS[name]).double()


def test_protonet_with_one_shot_is_the_euclidean_nearest_neighbour() -> None:
    support, query = features(5, 0), features(40, 1)
    logits = build("proto").compare(support, torch.arange(5).repeat(4, 1), query, 5)
    distances = (query[:, :, None] - support[:, None]).square().sum(-1)
    assert torch.equal(logits.argmax(-1), distances.argmin(-1))
    torch.testing.assert_close(logits, -distances)


def test_the_temperature_divides_the_distances_and_changes_no_answer() -> None:
    support, query = features(15, 0), features(40, 1)
    plain, cold = (build("proto", temperature=value).compare(support, LABELS, query, 5) for value in (1.0, 90.0))
    torch.testing.assert_close(cold, plain / 90)
    assert torch.equal(cold.argmax(-1), plain.argmax(-1))


def test_knn_answers_with_the_class_of_the_most_similar_support_image() -> None:
    support, query = features(15, 0), features(40, 1)
    logits = build("knn").compare(support, LABELS, query, 5)
    nearest = F.cosine_similarity(query[:, :, None], support[:, None], dim=-1).argmax(-1)
    assert torch.equal(logits.argmax(-1), LABELS.gather(1, nearest))


def test_matchingnet_averages_the_support_labels() -> None:
    support, query = features(15, 0), features(40, 1)
    logits = build("matching").compare(support, LABELS, query, 5)
    cosines = F.cosine_similarity(query[:, :, None], support[:, None], dim=-1)
    attention = (PARAMS["matching"]["scale"] * cosines).softmax(-1)
    torch.testing.assert_close(logits.exp(), attention @ F.one_hot(LABELS, 5).double())


@pytest.mark.parametrize("dimension", [8, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_finetune_is_sgd_on_every_episode_alone(dimension: int, dtype: torch.dtype) -> None:
    """With fewer features than support images (8 < 15) in the primal form, with more in the dual one."""
    support, query = features(15, 0, dimension).to(dtype), features(40, 1, dimension).to(dtype)
    logits = build("finetune").compare(support, LABELS, query, 5)
    for episode in range(4):
        expected = plain_finetune(support[episode], LABELS[episode], query[episode], 5, **PARAMS["finetune"])
        assert torch.equal(logits[episode].argmax(-1), expected.argmax(-1))
        tolerance = 1e-9 if dtype == torch.float64 else 1e-4
        torch.testing.assert_close(logits[episode], expected, rtol=tolerance, atol=tolerance)


def test_finetune_without_steps_is_its_initial_head() -> None:
    assert not build("finetune", steps=0).compare(features(15, 0), LABELS, features(40, 1), 5).any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [28, 84, 48], ids=lambda size: f"{size} pixels")
def test_relationnet_scores_concatenated_pairs(training: bool, size: int) -> None:
    method = sized("relation", 28 if size == 28 else 84).train(training)
    assert isinstance(method, RelationNet)
    for norm in (method.first_norm, method.second_norm):
        torch.nn.init.uniform_(norm.running_mean)
        torch.nn.init.uniform_(norm.weight, -1, 1)
    shape = tuple(method.backbone(torch.rand(1, 1, size, size, dtype=torch.float64))[0].shape)
    support, query = (torch.rand(1, count, *shape, dtype=torch.float64) for count in (15, 6))
    expected = plain_relation(copy.deepcopy(method), support.view(5, 3, *shape).mean(1), query[0])
    torch.testing.assert_close(method.compare(support, LABELS[:1], query, 5), expected.unsqueeze(0))


def test_relationnet_is_as_large_as_its_authors() -> None:
    """Their miniImageNet code: 19-17-8-6-3 pixels, 576 inputs of the hidden layer; Omniglot's: 5-5-2-2-1, 64."""
    large, small = (sized("relation", size, channels=channels, width=64) for size, channels in ((84, 3), (28, 1)))
    assert [method.hidden.in_features for method in (large, small)] == [576, 64]
    assert sum(weight.numel() for weight in large.parameters()) == 228_689


def test_relationnet_starts_as_its_authors_did() -> None:
    method = sized("relation", 84, width=64)
    assert all(
        layer.weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)
        for layer in (method.first, method.second)
    )
    assert not any(layer.bias.any() for layer in (method.first, method.second))
    assert method.hidden.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert all(layer.bias.eq(1).all() for layer in (method.hidden, method.score))


def test_maps_of_which_relationnet_would_leave_nothing_are_named() -> None:
    method = sized("relation", 84)
    maps = torch.rand(1, 15, 8, 3, 3, dtype=torch.float64)
    with pytest.raises(SuiteError, match="RelationNet pools maps of 3x3 until nothing is left"):
        method.compare(maps, LABELS[:1], maps, 5)


@NINE
def test_a_method_learns_from_smaller_images_than_it_was_built_for(name: str) -> None:
    method = sized(name, 48)
    images = torch.rand(2, 10, 1, 32, 32, dtype=torch.float64)
    labels = torch.arange(5).repeat_interleave(2).repeat(2, 1)
    tasks = Tasks(images, labels, images.flip(0), labels, 5)
    batch = Batch(images.flatten(0, 1), labels.flatten())
    method.loss(tasks if method.learns_from == "episodes" else batch).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in method.parameters())
    assert method.eval().predict(tasks).isfinite().all()


@pytest.mark.parametrize("name", ["proto", "matching", "r2d2", "relation"])
def test_the_loss_is_a_mean_over_queries(name: str) -> None:
    method, tasks = build(name).double().eval(), random_tasks(batch=3)
    logits, truth = method.predict(tasks), F.one_hot(tasks.query_labels, tasks.way).double()
    squares, entropies = (logits - truth).square().mean(), -(logits.log_softmax(-1) * truth).sum(-1).mean()
    torch.testing.assert_close(method.loss(tasks), squares if name == "relation" else entropies)


def test_the_loss_of_a_classifier_is_a_mean_over_images() -> None:
    method, images = build("knn").double().eval(), random_tasks(batch=1).support[0]
    labels = torch.arange(len(images)) % 12
    logits = method.classifier(method.embed(images))
    expected = -logits.log_softmax(-1)[torch.arange(len(images)), labels].mean()
    torch.testing.assert_close(method.loss(Batch(images, labels)), expected)


def test_the_transductive_relationnet_normalises_all_its_layers_by_the_task() -> None:
    task = random_tasks(batch=1)
    training = build("relation").double().train()
    expected = training.answer(task)
    torch.testing.assert_close(build("relation-transductive").double().eval().predict(task), expected)
