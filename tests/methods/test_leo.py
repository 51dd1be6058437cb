"""LEO beside its plain form, its limits and finite differences; in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fsbench.methods.base import one_hot
from fsbench.methods.leo import LEO
from helpers.plain import plain_leo
from helpers.small import build, random_tasks

WAY = 5
UNEQUAL = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3, 4])


def leo(**changes: float) -> LEO:
    method = build("leo", **changes).double().eval()
    assert isinstance(method, LEO)
    return method


def features(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(2, count, 8, generator=generator, dtype=torch.float64), dim=-1)


def answers(method: LEO) -> Tensor:
    return method.compare(features(10, 0), UNEQUAL.expand(2, -1), features(7, 1), WAY)


def test_the_answers_and_their_gradients_are_those_of_the_plain_form() -> None:
    method = leo()
    found = answers(method)
    expected = torch.stack([plain_leo(method, features(10, 0)[i], UNEQUAL, features(7, 1)[i], WAY) for i in range(2)])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    own = [weight for name, weight in method.named_parameters() if not name.startswith("backbone.")]
    ours, theirs = (torch.autograd.grad(logits.square().sum(), own) for logits in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_without_steps_or_rates_the_head_is_what_the_codes_are_decoded_to() -> None:
    method = leo(latent_steps=0, weight_steps=0)
    support, members = features(10, 0), one_hot(UNEQUAL.expand(2, -1), WAY, features(10, 0))
    weights = (method.encode(support, members)[0] @ method.decoder)[..., :8]
    expected = features(7, 1) @ weights.mT
    torch.testing.assert_close(answers(method), expected)
    torch.testing.assert_close(answers(leo(latent_rate=0.0, weight_rate=0.0)), expected)


def test_with_noise_the_steps_follow_the_gradient_of_what_was_drawn() -> None:
    """One step of the codes, its slope beside finite differences at the same draw."""
    method = leo(dropout=0.0, latent_steps=1, weight_steps=0).train()
    support, members = features(10, 0), one_hot(UNEQUAL.expand(2, -1), WAY, features(10, 0))
    codes = torch.randn(2, WAY, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def loss(codes: Tensor) -> Tensor:
        """Of both tasks."""
        torch.manual_seed(3)
        weights, _ = method._decoded(codes, noisy=True)
        logits = (support @ weights.mT).flatten(0, 1)
        return 2 * WAY * F.cross_entropy(logits, UNEQUAL.repeat(2))

    torch.manual_seed(3)
    moved = method.adapt(codes, support, members)[0]
    step, direction = 1e-6, torch.randn_like(codes)
    slope = (loss(codes + step * direction) - loss(codes - step * direction)) / (2 * step)
    torch.testing.assert_close(((codes - moved) * direction).sum(), slope, rtol=1e-6, atol=1e-9)


def test_noise_is_drawn_in_training_alone() -> None:
    method, tasks = leo(dropout=0.3), random_tasks()
    with torch.no_grad():
        assert method.loss(tasks).item() == method.loss(tasks).item()
        method.train().backbone.eval()
        assert method.loss(tasks).item() != method.loss(tasks).item()
        assert torch.equal(answers(method), answers(method))


def test_deviations_do_not_grow_without_end() -> None:
    method, tasks = leo(), random_tasks()
    with torch.no_grad():
        for layer in (*method.relation, method.decoder):
            layer *= 30
    assert method.train().loss(tasks).isfinite()


def test_the_estimate_of_the_divergence_is_that_of_normal_distributions() -> None:
    """Codes of the mean m and the deviation d: log q - log p is, in the mean, -ln d + (m^2 + d^2 - 1) / 2."""
    torch.manual_seed(0)
    method, tasks = leo(divergence=1.0, pull=0.0, orthogonality=0.0, dropout=0.0, latent_steps=0), random_tasks()
    means, spreads = torch.full((2, WAY, 6), 0.5), torch.full((2, WAY, 6), math.log(1.5))
    method.encode = lambda *_: (means.double(), spreads.double())  # type: ignore[method-assign]
    plain = leo(divergence=0.0, pull=0.0, orthogonality=0.0, dropout=0.0, latent_steps=0)
    plain.encode = method.encode  # type: ignore[method-assign]
    estimates = []
    with torch.no_grad():
        for model in (method, plain):
            model.train()
        for seed in range(200):
            losses = []
            for model in (method, plain):
                torch.manual_seed(seed)
                losses.append(model.loss(tasks).item())
            estimates.append(losses[0] - losses[1])
    expected = -math.log(0.5) + (0.5**2 + 0.5**2 - 1) / 2
    assert sum(estimates) / 200 == pytest.approx(expected, abs=0.03)
