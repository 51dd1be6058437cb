"""Methods beside plain forms of the same mathematics."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fsbench.methods.finetune import Finetune
from fsbench.methods.relation import RelationNet
from small import PARAMS, build

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


def test_finetune_is_sgd_on_every_episode_alone() -> None:
    method = build("finetune")
    assert isinstance(method, Finetune)
    support, query = features(15, 0), features(40, 1)
    logits = method.compare(support, LABELS, query, 5)
    settings = dict(PARAMS["finetune"])
    steps, rate = settings.pop("steps"), settings.pop("rate")
    for episode in range(4):
        head = torch.nn.Linear(8, 5, dtype=torch.float64)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        optimiser = torch.optim.SGD(head.parameters(), lr=rate, **settings)
        for _ in range(steps):
            optimiser.zero_grad()
            F.cross_entropy(head(support[episode]), LABELS[episode]).backward()
            optimiser.step()
        torch.testing.assert_close(logits[episode], head(query[episode]).detach(), rtol=1e-9, atol=1e-9)


def test_finetune_without_steps_is_its_initial_head() -> None:
    assert not build("finetune", steps=0).compare(features(15, 0), LABELS, features(40, 1), 5).any()


def test_relationnet_scores_concatenated_pairs() -> None:
    method = build("relation").double().eval()
    assert isinstance(method, RelationNet)
    shape = method.backbone.shape
    support, query = (torch.rand(1, count, *shape, dtype=torch.float64) for count in (15, 6))
    scores = method.compare(support, LABELS[:1], query, 5)
    centres = support.view(5, 3, *shape).mean(1)
    pairs = torch.cat([centres.repeat(6, 1, 1, 1), query[0].repeat_interleave(5, 0)], dim=1)
    maps = F.max_pool2d(F.relu(method.first_norm(method.first(pairs))), 2)
    maps = F.max_pool2d(F.relu(method.second_norm(method.second(maps))), 2)
    expected = method.score(F.relu(method.hidden(maps.flatten(1)))).sigmoid()
    torch.testing.assert_close(scores, expected.view(1, 6, 5))
