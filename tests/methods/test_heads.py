"""Heads that are solved for, beside their normal equations, their limits and finite differences; in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fsbench.methods.dual import DualHead
from fsbench.methods.svm import solve_svm
from helpers.plain import plain_ridge, plain_svm
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


def machines(way: int, shot: int, dimension: int, length: float, c: float) -> tuple[Tensor, Tensor, Tensor]:
    """Kernel `[B, S, S]`, labels as indicator vectors and coefficients of the machines of some overlapping classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(way).repeat_interleave(shot)
    centres, spread = (
        torch.randn(3, count, dimension, generator=generator, dtype=torch.float64) for count in (way, way * shot)
    )
    support = length * (0.7 * centres[:, labels] + spread).relu() / dimension**0.5
    members = torch.eye(way, dtype=torch.float64)[labels].expand(3, -1, -1)
    products = support @ support.mT
    return products + torch.eye(len(labels), dtype=torch.float64), members, solve_svm(products, members, c)


def residual(kernel: Tensor, members: Tensor, coefficients: Tensor, c: float) -> float:
    """By how much the conditions of the optimum fail: bounds, sums, and a multiplier of every sum that fits."""
    bounds = min(c, 1e9) * members
    slopes, held = members - kernel @ coefficients, bounds - coefficients < 1e-12
    highest = slopes.masked_fill(held, -torch.inf).amax(-1, keepdim=True)
    lowest = slopes.masked_fill(held, torch.inf).amin(-1, keepdim=True)
    wrong = [coefficients - bounds, coefficients.sum(-1).abs(), highest - lowest, (highest - slopes) * held]
    return max(part.max().item() for part in wrong)


@pytest.mark.parametrize("c", [1e-3, 0.1, 1.0, float("inf")])
@pytest.mark.parametrize(
    ("way", "shot", "dimension", "length"),
    [(5, 1, 64, 10.0), (5, 5, 64, 1.0), (5, 5, 64, 0.03), (2, 7, 8, 3.0), (20, 1, 64, 3.0), (5, 5, 8, 100.0)],
)
def test_a_machine_fulfils_the_conditions_of_its_optimum(
    way: int, shot: int, dimension: int, length: float, c: float
) -> None:
    """The last problem, long examples in few dimensions, is one where the active sets go in circles."""
    assert residual(*machines(way, shot, dimension, length, c), c) < 1e-9


def test_a_machine_that_no_active_set_settles_has_the_bounds_of_the_interior_point_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = machines(5, 5, 8, 3.0, 0.1)[2]
    monkeypatch.setattr("fsbench.methods.svm._CHANGES", 0)
    torch.testing.assert_close(machines(5, 5, 8, 3.0, 0.1)[2], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("c", [0.02, 1.0])
def test_a_machine_is_that_of_a_general_solver(c: float) -> None:
    support, query = features(11, 0, 4), features(7, 1, 4)
    found = answers(head("metaoptnet-svm", c=c), support, query)
    torch.testing.assert_close(found[0], plain_svm(support[0], UNEQUAL, query[0], WAY, c), rtol=1e-4, atol=1e-6)


def test_where_no_bound_binds_the_machine_is_ridge_regression() -> None:
    """Nearly orthogonal examples; the values differ by one number a query, which no answer or loss depends on."""
    support, query = features(WAY, 0, 200), features(7, 1, 200)
    found = answers(head("metaoptnet-svm", c=1.0), support, query, torch.arange(WAY))
    expected = answers(head("r2d2", penalty=1.0), support, query, torch.arange(WAY))
    torch.testing.assert_close(found.softmax(-1), expected.softmax(-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("c", [0.02, 0.1])
def test_the_machine_is_differentiated_exactly(c: float) -> None:
    support, query = features(11, 0, 4)[:1].requires_grad_(), features(1, 1, 4)[:1]
    method = head("metaoptnet-svm", c=c)
    assert torch.autograd.gradcheck(lambda shown: method.compare(shown, UNEQUAL[None], query, WAY), support)
