"""Methods beside plain forms of the same mathematics."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from fsbench.methods.relation import RelationNet
from helpers.plain import plain_finetune, plain_relation
from helpers.small import PARAMS, build

LABELS = torch.arange(5).repeat_interleave(3).repeat(4, 1)


def features(count: int, seed: int, dimension: int = 8) -> torch.Tensor:
    return torch.randn(4, count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_protonet_with_one_shot_is_the_euclidean_nearest_neighbour() -> None:
    support, query = features(5, 0), features(40, 1)
    logits = build("proto").compare(support, torch.arange(5).repeat(4, 1), query, 5)
    distances = (query[:, :, None] - support[:, None]).square().sum(-1)
    assert torch.equal(logits.argmax(-1), distances.argmin(-1))
    torch.testing.assert_close(logits, -distances)


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
def test_relationnet_scores_concatenated_pairs(training: bool) -> None:
    method = build("relation").double().train(training)
    assert isinstance(method, RelationNet)
    for norm in (method.first_norm, method.second_norm):
        torch.nn.init.uniform_(norm.running_mean)
        torch.nn.init.uniform_(norm.weight, -1, 1)
    shape = method.backbone.shape
    support, query = (torch.rand(1, count, *shape, dtype=torch.float64) for count in (15, 6))
    expected = plain_relation(copy.deepcopy(method), support.view(5, 3, *shape).mean(1), query[0])
    torch.testing.assert_close(method.compare(support, LABELS[:1], query, 5), expected.unsqueeze(0))
