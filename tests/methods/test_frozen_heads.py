"""The heads for frozen features, beside plain forms of one episode in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from fsbench.methods.base import FeatureMethod
from helpers.plain import plain_ridge
from helpers.small import build

WAY = 5
LABELS = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4])


def features(count: int, seed: int, dimension: int = 30) -> Tensor:
    return torch.randn(2, count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def answers(name: str, support: Tensor, query: Tensor, **changes: object) -> Tensor:
    method = build(name, **changes).double()
    assert isinstance(method, FeatureMethod)
    with torch.no_grad():
        return method.compare(support, LABELS.expand(len(support), -1), query, WAY)


def unit(images: Tensor) -> Tensor:
    return F.normalize(images, dim=-1)


def test_simpleshot_is_the_nearest_mean_of_unit_vectors() -> None:
    support, query = features(11, 0), features(7, 1)
    found = answers("simpleshot", support, query)
    for episode in range(2):
        shown, asked = unit(support[episode]), unit(query[episode])
        for label in range(WAY):
            expected = -(asked - shown[label == LABELS].mean(0)).square().sum(-1)
            torch.testing.assert_close(found[episode, :, label], expected)


@pytest.mark.parametrize("dimension", [8, 30], ids=["fewer features than images", "more"])
def test_ridge_solves_the_normal_equations(dimension: int) -> None:
    support, query = features(11, 0, dimension), features(7, 1, dimension)
    found = answers("ridge", support, query, penalty=0.3)
    for episode in range(2):
        expected = plain_ridge(unit(support[episode]), LABELS, unit(query[episode]), WAY, 0.3)
        torch.testing.assert_close(found[episode], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dimension", [8, 30], ids=["fewer features than images", "more"])
@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_logistic_regression_is_at_the_minimum(strength: float, dimension: int) -> None:
    support, query = features(11, 0, dimension), features(7, 1, dimension)
    found = answers("logistic", support, query, strength=strength)
    for episode in range(2):
        inputs, asked = unit(support[episode]), unit(query[episode])

        def objective(flat: object, inputs: Tensor = inputs) -> tuple[float, object]:
            weights = torch.tensor(flat, dtype=torch.float64).view(-1, WAY).requires_grad_()
            loss = strength * F.cross_entropy(inputs @ weights, LABELS, reduction="sum") + weights.square().sum() / 2
            loss.backward()
            assert weights.grad is not None
            return loss.item(), weights.grad.flatten().numpy()

        best = minimize(objective, torch.zeros(inputs.shape[1] * WAY), jac=True, tol=1e-14, options={"gtol": 1e-9})
        expected = asked @ torch.from_numpy(best.x).view(-1, WAY)
        torch.testing.assert_close(found[episode], expected, rtol=1e-5, atol=1e-6)


def test_the_ensemble_averages_the_probabilities_of_its_heads() -> None:
    support, query = features(11, 0), features(7, 1)
    strengths = [0.1, 1.0, 30.0]
    found = answers("logistic-ensemble", support, query, strengths=strengths)
    each = [answers("logistic", support, query, strength=strength).softmax(-1) for strength in strengths]
    torch.testing.assert_close(found.softmax(-1), torch.stack(each).mean(0))


@pytest.mark.parametrize("steps", [0, 1, 15])
def test_the_cosine_classifier_takes_plain_gradient_steps(steps: int) -> None:
    support, query = features(11, 0), features(7, 1)
    found = answers("cosine", support, query, steps=steps, rate=0.5, scale=8.0)
    for episode in range(2):
        shown, asked = (F.normalize(images[episode], dim=-1) for images in (support, query))
        weights = torch.stack([shown[label == LABELS].mean(0) for label in range(WAY)]).requires_grad_()
        for _ in range(steps):
            loss = F.cross_entropy(8.0 * shown @ F.normalize(weights, dim=-1).mT, LABELS)
            (slope,) = torch.autograd.grad(loss, weights)
            weights = (weights - 0.5 * slope).detach().requires_grad_()
        torch.testing.assert_close(found[episode], 8.0 * asked @ F.normalize(weights, dim=-1).mT.detach())


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(["simpleshot", "logistic", "logistic-ensemble", "ridge", "cosine"]), scale=st.floats(1e-3, 1e3)
)
def test_the_size_of_features_does_not_matter(name: str, scale: float) -> None:
    support, query = features(11, 2), features(7, 3)
    torch.testing.assert_close(answers(name, scale * support, scale * query), answers(name, support, query))
