"""What every method must satisfy, whichever it is: one table of methods drives all properties."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fsbench.engine.evaluation import correct_counts
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.episodes.sources import draw_mixed_batches
from fsbench.methods.base import Method
from fsbench.methods.registry import load_method
from fsbench.tasks import Tasks
from helpers.small import NAMES, build, random_tasks, write_small_pack

every_method = pytest.mark.parametrize("name", NAMES)
close = {"rtol": 1e-9, "atol": 1e-9}


def ready(name: str, **changes: object) -> Method:
    """A method in float64 and evaluation mode whose running statistics are not the initial ones."""
    method = build(name, **changes).double()
    for module in method.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return method.eval()


def store_of(folder: Path, split: str) -> ImageStore:
    return ImageStore(write_small_pack(folder), split, torch.device("cpu"), [0.5], [0.5])


@every_method
def test_a_constant_encoder_scores_exactly_chance(name: str, tmp_path: Path) -> None:
    method = build(name)
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            parameter.zero_()
    store = store_of(tmp_path, "test")
    episodes = draw_episodes(pool_of(store.pack, "test"), FixedProtocol("test", 5, 1, 4, 10, 0))
    # an adapted backbone is constant no more, so that gradient methods take no step here
    if hasattr(method, "test_steps"):
        method.test_steps = 0
    assert correct_counts(method, store, episodes).tolist() == [4] * 10


@every_method
def test_renaming_the_classes_permutes_the_answers(name: str) -> None:
    method, tasks = ready(name), random_tasks()
    renaming = torch.tensor([3, 0, 4, 1, 2])
    renamed = replace(tasks, support_labels=renaming[tasks.support_labels])
    torch.testing.assert_close(method.predict(renamed)[..., renaming], method.predict(tasks), **close)


@every_method
def test_only_a_transductive_answer_depends_on_the_other_queries(name: str) -> None:
    method, tasks = ready(name), random_tasks()
    others = replace(tasks, query=torch.cat([tasks.query[:, :1], 1 - tasks.query[:, 1:]], dim=1))
    alone = replace(tasks, query=tasks.query[:, :1], query_labels=tasks.query_labels[:, :1])
    expected = method.predict(tasks)[:, 0]
    same = [torch.allclose(method.predict(changed)[:, 0], expected, **close) for changed in (others, alone)]
    assert same == [not load_method(name).transductive] * 2


@every_method
def test_the_order_of_support_and_queries_does_not_matter(name: str) -> None:
    method, tasks = ready(name), random_tasks()
    support, query = torch.randperm(tasks.support.shape[1]), torch.randperm(tasks.query.shape[1])
    shuffled = Tasks(
        tasks.support[:, support],
        tasks.support_labels[:, support],
        tasks.query[:, query],
        tasks.query_labels[:, query],
        tasks.way,
    )
    torch.testing.assert_close(method.predict(shuffled), method.predict(tasks)[:, query], **close)


@every_method
def test_shots_may_differ(name: str) -> None:
    method, tasks = ready(name), random_tasks(shot=3)
    kept = torch.tensor([0, 1, 2, 3, 6, 7, 9, 12, 13, 14])  # 3, 1, 2, 1 and 3 images of the five classes
    fewer = replace(tasks, support=tasks.support[:, kept], support_labels=tasks.support_labels[:, kept])
    logits = method.predict(fewer)
    assert logits.shape == (2, 15, 5)
    assert logits.isfinite().all()


@every_method
def test_tasks_side_by_side_are_as_one_at_a_time(name: str) -> None:
    method, tasks = ready(name), random_tasks(batch=3)
    single = [
        Tasks(*(part[i : i + 1] for part in (tasks.support, tasks.support_labels, tasks.query, tasks.query_labels)), 5)
        for i in range(3)
    ]
    together = torch.cat([method.predict(task) for task in single])
    torch.testing.assert_close(method.predict(tasks), together, **close)


@every_method
def test_predicting_changes_nothing(name: str) -> None:
    method = ready(name)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    with torch.no_grad():
        first = method.predict(random_tasks())
        method.predict(random_tasks(seed=1))
        assert torch.equal(method.predict(random_tasks()), first)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())


@every_method
def test_it_learns_an_easy_problem(name: str, tmp_path: Path) -> None:
    method, store = build(name), store_of(tmp_path, "train")
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-2)
    episodic = method.learns_from == "episodes"
    steps = 150 if name.startswith("relation") else 40
    episodes = draw_episodes(pool_of(store.pack, "train"), FixedProtocol("train", 5, 2, 5, steps, 0))
    batches = draw_mixed_batches([len(store.indices)], 32, seed=0, start=0, stop=steps)[1]
    for step in range(steps):
        optimiser.zero_grad()
        method.loss(store.tasks(episodes[step : step + 1]) if episodic else store.batch(batches[step])).backward()
        optimiser.step()
    held_out = ImageStore(store.pack, "test", store.device, [0.5], [0.5])
    test = draw_episodes(pool_of(store.pack, "test"), FixedProtocol("test", 5, 2, 5, 20, 0))
    assert correct_counts(method, held_out, test).mean() / 25 > 0.9
