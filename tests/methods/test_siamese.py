"""The contrastive loss beside its pairs, and the nearest image; in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fsbench.methods.siamese import Siamese
from fsbench.tasks import Tasks
from helpers.plain import plain_contrastive
from helpers.small import build, random_tasks


def siamese(margin: float = 1.0) -> Siamese:
    method = build("siamese", margin=margin).double().eval()
    assert isinstance(method, Siamese)
    return method


def loss_of(features: Tensor, labels: list[int], margin: float = 1.0) -> float:
    """Of features that are taken as they are, the last one as the query."""
    method, at = siamese(margin), torch.tensor(labels)[None]
    method.embed = lambda images: images  # type: ignore[method-assign]
    tasks = Tasks(features[None, :-1], at[:, :-1], features[None, -1:], at[:, -1:], 2)
    return method.loss(tasks).item()


@pytest.mark.parametrize("margin", [0.05, 0.3, 1.0])
def test_the_loss_is_that_of_all_pairs_of_every_task(margin: float) -> None:
    method, tasks = siamese(margin), random_tasks(batch=3)
    each = [
        plain_contrastive(
            method.embed(torch.cat([tasks.support[index], tasks.query[index]])).detach(),
            torch.cat([tasks.support_labels[index], tasks.query_labels[index]]),
            margin,
        )
        for index in range(3)
    ]
    assert method.loss(tasks).item() == pytest.approx(sum(each) / 3, rel=1e-6)


def test_pairs_at_a_distance_cost_what_the_formula_says() -> None:
    """Three points on a line: 0 and 0.3 of one class, 0.8 of the other; margin 1."""
    points = torch.tensor([[0.0], [0.8], [0.3]], dtype=torch.float64)
    assert loss_of(points, [0, 1, 0]) == pytest.approx((0.3**2 + (0.2**2 + 0.5**2) / 2) / 2, rel=1e-5)


def test_classes_in_one_point_each_and_a_margin_apart_cost_nothing() -> None:
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert loss_of(points, [0, 1, 0]) == pytest.approx(0, abs=1e-9)
    assert loss_of(points, [0, 0, 1]) > 0.1


def test_images_that_coincide_have_a_gradient() -> None:
    method = siamese()
    tasks = random_tasks(shot=1, queries=1)
    same = Tasks(tasks.support, tasks.support_labels, tasks.support.clone(), tasks.support_labels, tasks.way)
    method.loss(same).backward()
    assert all(weight.grad.isfinite().all() for weight in method.parameters())


def test_the_answer_is_the_class_of_the_nearest_image_and_at_one_shot_that_of_protonet() -> None:
    method, tasks = siamese(), random_tasks(shot=3)
    support, query = (
        method.embed(images.flatten(0, 1)).unflatten(0, (2, -1)) for images in (tasks.support, tasks.query)
    )
    logits = method.compare(support, tasks.support_labels, query, 5)
    nearest = torch.cdist(query, support).argmin(-1)
    assert torch.equal(logits.argmax(-1), tasks.support_labels.gather(1, nearest))
    single, labels = support[:, ::3], tasks.support_labels[:, ::3]
    found, expected = (model.compare(single, labels, query, 5) for model in (method, build("proto")))
    assert torch.equal(found.argmax(-1), expected.argmax(-1))
