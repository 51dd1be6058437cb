"""Heads that are solved for, beside their normal equations, their limits and finite differences; in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fsbench.errors import UsageError
from fsbench.methods.dual import DualHead
from helpers.plain import plain_ridge
from helpers.small import build, random_tasks

WAY = 5
UNEQUAL = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4])


def features(count: int, seed: int, dimension: int = 30) -> Tensor:
    return torch.randn(2, count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def head(name: str, **changes: float) -> DualHead:
    method = build(name, scale=1.0, **changes).double()
    assert isinstance(method, DualHead)
    return method


def answers(method: DualHead, support: Tensor, query: Tensor, labels: Tensor = UNEQUAL) -> Tensor:
    with torch.no_grad():
        return method.compare(support, labels.expand(len(support), -1), query, WAY)


@pytest.mark.parametrize("dimension", [8, 30], ids=["fewer features than images", "more"])
@pytest.mark.parametrize(("name", "factor"), [("r2d2", 1), ("metaoptnet-ridge", 2)])
def test_a_ridge_head_solves_the_normal_equations(name: str, factor: int, dimension: int) -> None:
    support, query = features(11, 0, dimension), features(7, 1, dimension)
    found = answers(head(name, penalty=0.7), support, query)
    for episode in range(2):
        expected = factor * plain_ridge(support[episode], UNEQUAL, query[episode], WAY, 0.7)
        torch.testing.assert_close(found[episode], expected, rtol=1e-10, atol=1e-12)


def test_a_large_penalty_leaves_class_sums_of_inner_products() -> None:
    support, query = features(11, 0), features(7, 1)
    sums = torch.zeros(2, WAY, 30, dtype=torch.float64).index_add_(1, UNEQUAL, support)
    found = 1e9 * answers(head("r2d2", penalty=1e9), support, query)
    torch.testing.assert_close(found, query @ sums.mT, rtol=1e-6, atol=1e-6)


def test_a_small_penalty_fits_the_support_set() -> None:
    support = features(11, 0)
    found = answers(head("r2d2", penalty=1e-9), support, support)
    torch.testing.assert_close(found, torch.eye(WAY, dtype=torch.float64)[UNEQUAL].expand(2, -1, -1), atol=1e-8, rtol=0)


def test_the_ridge_head_is_differentiated_exactly() -> None:
    support, query = features(11, 0, 8).requires_grad_(), features(3, 1, 8).requires_grad_()
    method = head("r2d2")
    assert torch.autograd.gradcheck(
        lambda shown, asked: method.compare(shown, UNEQUAL.expand(2, -1), asked, WAY), (support, query)
    )


def test_large_features_in_float32_are_solved_in_float64() -> None:
    support, query = 1e3 * features(11, 0, 8), features(7, 1, 8)
    method = head("r2d2", penalty=1e-3)
    single = answers(method.float(), support.float(), query.float())
    torch.testing.assert_close(single.double(), answers(method.double(), support, query), rtol=1e-2, atol=1e-5)


def test_smoothed_labels_give_a_share_to_the_other_classes() -> None:
    method, tasks = build("metaoptnet-ridge", smoothing=0.1).double().eval(), random_tasks()
    with torch.no_grad():
        logs = method.predict(tasks).log_softmax(-1)
        loss = method.loss(tasks)
    share = torch.full_like(logs, 0.1 / 4).scatter_(-1, tasks.query_labels.unsqueeze(-1), 0.9)
    torch.testing.assert_close(loss, -(share * logs).sum(-1).mean())


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("r2d2", {"penalty": 0}, "penalty of R2-D2 is 0; it must be above 0"),
        ("r2d2", {"scale": -1.0}, "scale of R2-D2 is -1.0; it must be above 0"),
        ("metaoptnet-ridge", {"penalty": float("nan")}, "penalty of MetaOptNet-RR is nan"),
        ("metaoptnet-ridge", {"smoothing": 0.6}, "smoothing of MetaOptNet-RR is 0.6; it must lie between 0 and 0.5"),
    ],
)
def test_a_hyper_parameter_out_of_range_is_named(name: str, wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, **wrong)
