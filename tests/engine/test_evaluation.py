from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fsbench.engine.evaluation import _AtOnce, asked_images, correct_counts, embed_split
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.errors import EpisodeError, TrainingError
from fsbench.methods.base import FeatureMethod, Method
from fsbench.stats.intervals import mean_ci
from fsbench.tasks import Tasks
from helpers.small import build, write_small_pack


class Memoriser(Method):
    """Answers by the place of a query alone."""

    label = "Memoriser"

    def loss(self, data: Tasks) -> Tensor:
        return data.support.sum()

    def predict(self, tasks: Tasks) -> Tensor:
        places = torch.arange(tasks.query.shape[1]) * tasks.way // tasks.query.shape[1]
        return torch.nn.functional.one_hot(places, tasks.way).repeat(len(tasks), 1, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    pack = write_small_pack(tmp_path_factory.mktemp("pack"))
    return ImageStore(pack, "test", torch.device("cpu"), [0.2], [0.4])


def episodes_of(store: ImageStore, number: int, shot: int = 1) -> Episodes:
    return draw_episodes(pool_of(store.pack, "test"), FixedProtocol("test", 5, shot, 15, number, 0))


def test_a_method_that_answers_by_position_scores_chance(store: ImageStore) -> None:
    interval = mean_ci(correct_counts(Memoriser(), store, episodes_of(store, 400)) / 0.75)
    assert abs(interval.mean - 20) < 2 * interval.half_width


@pytest.mark.parametrize("name", ["knn", "finetune", "matching", "proto", "relation"])
def test_features_embedded_once_give_the_answers_of_images(name: str, store: ImageStore) -> None:
    method, episodes = build(name).eval(), episodes_of(store, 5, shot=2)
    assert isinstance(method, FeatureMethod)
    fast = correct_counts(method, store, episodes)
    plain = [
        int((method.predict(tasks).argmax(-1) == tasks.query_labels).sum())
        for tasks in (store.tasks(episodes[i : i + 1]) for i in range(5))
    ]
    assert fast.tolist() == plain
    assert correct_counts(method, store, episodes, embed_split(method, store)).tolist() == plain


def test_tasks_hold_the_normalised_images_of_their_episodes(store: ImageStore) -> None:
    episodes = episodes_of(store, 2)
    tasks = store.tasks(episodes)
    raw = store.pack.images[episodes.query_images] / 255
    np.testing.assert_allclose(tasks.query.numpy(), (raw - 0.2) / 0.4, atol=1e-6)
    assert torch.equal(tasks.support_labels, torch.arange(5).repeat(2, 1))
    labels = store.pack.labels[episodes.query_images]
    assert (np.take_along_axis(episodes.classes, tasks.query_labels.numpy(), axis=1) == labels).all()


def test_only_the_images_that_are_asked_for_are_embedded(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    method, episodes = build("proto"), episodes_of(store, 1)
    embedded: list[int] = []
    embed = method.embed  # type: ignore[operator]
    monkeypatch.setattr(method, "embed", lambda images: embedded.append(len(images)) or embed(images))
    right = correct_counts(method, store, episodes)
    assert sum(embedded) == len(np.unique(asked_images(episodes))) == 5 * 16 < len(store.indices)
    assert right.tolist() == correct_counts(method, store, episodes, embed_split(method, store)).tolist()


@pytest.mark.parametrize("name", ["knn", "matching", "siamese"])
def test_an_episode_of_many_support_images_is_compared_in_parts_that_have_room(
    name: str, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every query such methods look at all support images, and may do so for every class."""
    method, episodes = build(name), episodes_of(store, 1, shot=4)
    expected = correct_counts(method, store, episodes).tolist()
    sizes: list[int] = []
    compare = method.compare  # type: ignore[operator]

    def seen(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
        sizes.append(query.shape[1] * way * max(support.shape[1], support.shape[2]))
        return compare(support, labels, query, way)  # type: ignore[no-any-return]

    monkeypatch.setattr(method, "compare", seen)
    monkeypatch.setattr(
        "fsbench.engine.evaluation._ON_CPU", _AtOnce(pixels=1 << 16, adapted=1 << 16, numbers=1000, tasks=1)
    )
    assert correct_counts(method, store, episodes).tolist() == expected
    assert len(sizes) > 1 and max(sizes) <= 1000


@pytest.mark.parametrize(("name", "answers", "at_once"), [("proto", "compare", 2), ("fomaml", "predict", 3)])
def test_a_gpu_gives_the_same_answers_in_slices_of_one_shape(
    name: str, answers: str, at_once: int, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, episodes = build(name), episodes_of(store, 17)
    seen: list[int] = []
    answer = getattr(method, answers) if name == "proto" else Memoriser().predict
    monkeypatch.setattr(method, answers, lambda *data: seen.append(len(data[0])) or answer(*data))
    expected = correct_counts(method, store, episodes).tolist()
    assert seen == ([17] if name == "proto" else 17 * [1])
    seen.clear()
    monkeypatch.setattr("fsbench.engine.evaluation._on_gpu", lambda _: True)
    room = _AtOnce(pixels=3 * 80 * 28**2, adapted=3 * 80 * 28**2, numbers=2 * 75 * 5 * 8, tasks=16)
    monkeypatch.setattr("fsbench.engine.evaluation._ON_GPU", room)
    assert correct_counts(method, store, episodes).tolist() == expected
    assert seen == -(-17 // at_once) * [at_once]


@pytest.mark.parametrize(("name", "parts"), [("matching", [30, 30, 15]), ("proto", [75]), ("ridge", [75])])
def test_a_head_is_fitted_once_to_a_large_episode(
    name: str, parts: list[int], store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, episodes = build(name), episodes_of(store, 1)
    expected = correct_counts(method, store, episodes).tolist()
    seen: list[int] = []
    compare = method.compare  # type: ignore[operator]
    monkeypatch.setattr(method, "compare", lambda *data: seen.append(data[2].shape[1]) or compare(*data))
    room = _AtOnce(pixels=1 << 16, adapted=1 << 16, numbers=30 * 5 * 8, tasks=1)  # 5 ways and 8 features
    monkeypatch.setattr("fsbench.engine.evaluation._ON_CPU", room)
    assert correct_counts(method, store, episodes).tolist() == expected
    assert seen == parts


def test_a_narrowed_store_holds_the_same_images(store: ImageStore) -> None:
    chosen = store.indices[[7, 3, 11, 3]]
    narrowed = store.narrowed(chosen)
    assert narrowed.indices.tolist() == sorted({*chosen.tolist()})
    assert narrowed.rows(chosen).tolist() == [1, 0, 2, 0]
    ours, whole = narrowed.batch(np.array([0, 2])), store.batch(np.array([3, 11]))
    assert torch.equal(ours.images, whole.images) and torch.equal(ours.labels, whole.labels)


@pytest.mark.parametrize("narrowed", [False, True])
def test_an_image_outside_of_the_store_has_no_row(store: ImageStore, narrowed: bool) -> None:
    inside = store.narrowed(store.indices[10:30]) if narrowed else store
    for image in (inside.indices[0] - 1, inside.indices[0] - len(store.indices), inside.indices[-1] + 1):
        with pytest.raises(EpisodeError, match=f"the image {image} of the pack in .* is not in its test split"):
            inside.rows(np.array([[inside.indices[0], image]]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["proto", "fomaml"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_logit_that_is_no_number_is_an_error_that_names_method_and_episode(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, name: str, value: float, number: int
) -> None:
    method, asked = build(name), 0
    answers = "compare" if name == "proto" else "predict"
    answer = getattr(method, answers)

    def spoiled(*args: Any) -> Tensor:
        nonlocal asked
        logits = answer(*args).clone()
        asked += len(logits)
        if asked == number:  # the last episode
            logits[-1, 2, 1] = value
        return logits

    monkeypatch.setattr(method, answers, spoiled)
    label = re.escape(method.label)
    with pytest.raises(TrainingError, match=f"{label} gives logits that are not finite in episode {number - 1} of the"):
        correct_counts(method, store, episodes_of(store, number))


@pytest.mark.parametrize("name", ["proto", "fomaml"])
def test_logits_of_more_classes_than_there_are_end_it(
    name: str, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build(name)
    answers = "compare" if name == "proto" else "predict"
    answer = getattr(method, answers)
    monkeypatch.setattr(method, answers, lambda *data: torch.cat([answer(*data)] * 2, dim=-1))
    with pytest.raises(
        TrainingError, match=r"gives logits of shape \[\d+, 75, 10\] for 75 queries of each of \d+ tasks"
    ):
        correct_counts(method, store, episodes_of(store, 3))
