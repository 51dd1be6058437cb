"""What a training sees: addressed, from one source or several, as it is or augmented."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from fsbench.data.prepared import Prepared, write_pack
from fsbench.engine.batches import training_data
from fsbench.engine.schedule import Schedule
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.sampler import Rules
from fsbench.episodes.variable import VariableProtocol
from fsbench.errors import EpisodeError
from fsbench.tasks import Batch, PooledTasks, Tasks
from helpers.schedules import TASKS

CLASSES = (7, 9)  # of the two sources
BATCHES = replace(TASKS, protocol=None, size=16)
VARIABLE = replace(TASKS, protocol=VariableProtocol("train", 0, 0))
POOLED = replace(TASKS, protocol=FixedProtocol("train", 3, 1, 3, 0, 0), size=4, pool=6)
SCHEDULES = {"tasks": replace(TASKS, size=2), "batches": BATCHES, "variable": VARIABLE, "pooled": POOLED}


def store(folder: Path, source: int, *, channels: int = 1, images: int = 12) -> ImageStore:
    """The training images of a source, every pixel of an image telling its class and, with it, its source."""
    labels = np.repeat(np.arange(CLASSES[source]), images)
    values = (100 * source + labels).astype(np.uint8)
    prepared = Prepared(
        images=np.broadcast_to(values[:, None, None, None], (len(labels), 1, 8, 8)),
        labels=labels,
        names=[str(number) for number in range(len(labels))],
        classes=[f"class {label}" for label in range(CLASSES[source])],
        splits={"train": range(CLASSES[source])},
        processing={},
    )
    pack = write_pack(folder / str(source), f"source{source}", prepared)
    return ImageStore(pack, "train", torch.device("cpu"), [0.0] * channels, [1.0] * channels)


@pytest.fixture
def stores(tmp_path: Path) -> list[ImageStore]:
    return [store(tmp_path, source) for source in range(2)]


def steps(schedule: Schedule, stores: list[ImageStore], start: int, count: int) -> list[Tasks | PooledTasks | Batch]:
    return list(itertools.islice(training_data(schedule, stores, start), count))


def equal(one: Tasks | PooledTasks | Batch, other: Tasks | PooledTasks | Batch) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in vars(one) if name != "way"]
    return all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_training_that_stopped_goes_on_with_the_same_data(
    stores: list[ImageStore], name: str, number: int, augment: bool
) -> None:
    schedule = replace(SCHEDULES[name], augment=augment)
    whole = steps(schedule, stores[:number], 0, 40)
    assert all(map(equal, whole[37:], steps(schedule, stores[:number], 37, 3)))
    assert not equal(whole[37], whole[38])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_knows_how_many_images_a_step_embeds(stores: list[ImageStore], name: str) -> None:
    def images(step: Tasks | PooledTasks | Batch) -> int:
        parts = (step.support, step.query) if isinstance(step, Tasks) else (step.images,)
        return sum(part.shape[:-3].numel() for part in parts)

    found = {images(step) for step in steps(SCHEDULES[name], stores, 0, 10)}
    assert found == {SCHEDULES[name].step_images} or (name == "variable" and SCHEDULES[name].step_images is None)


def test_the_source_is_uniform_over_episodes(stores: list[ImageStore]) -> None:
    found = [int(tasks.support.max() * 255 >= 100) for tasks in steps(replace(TASKS, size=1), stores, 0, 600)]
    assert abs(np.mean(found) - 0.5) < 0.08  # four standard errors
    assert len({tuple(found[start : start + 10]) for start in range(0, 600, 10)}) > 30  # and has no period


def test_every_task_is_of_one_source_with_its_own_labels(stores: list[ImageStore]) -> None:
    for tasks in steps(replace(TASKS, size=3), stores, 0, 30):
        assert tasks.support.shape[:2] == (3, 5)
        for support, query, labels in zip(tasks.support, tasks.query, tasks.query_labels, strict=True):
            values = (255 * support[:, 0, 0, 0]).round()
            assert len({bool(value >= 100) for value in values}) == 1
            assert torch.equal((255 * query[:, 0, 0, 0]).round(), values[labels])


def test_pooled_tasks_split_the_images_of_one_source_with_their_own_labels(stores: list[ImageStore]) -> None:
    found = set()
    for tasks in steps(POOLED, stores, 0, 30):
        assert tasks.images.shape == (6 * 4, 1, 8, 8)
        values = (255 * tasks.images[:, 0, 0, 0]).round()
        found.add(bool(values.max() >= 100))
        assert len({bool(value >= 100) for value in values}) == 1
        support, query = (each.squeeze(-1) for each in tasks.gathered(values[:, None]))
        assert support.shape == (4, 3)
        assert torch.equal(query, support.gather(1, tasks.query_labels))
    assert found == {False, True}


def test_classes_of_several_sources_are_labelled_one_after_another(stores: list[ImageStore]) -> None:
    sources: list[int] = []
    for batch in steps(BATCHES, stores, 0, 60):
        values = (255 * batch.images[:, 0, 0, 0]).round().long()
        expected = torch.where(values >= 100, values - 100 + CLASSES[0], values)
        assert torch.equal(batch.labels, expected)
        sources += (values >= 100).tolist()
    assert abs(np.mean(sources) - 0.5) < 0.07  # four standard errors, although one source has more images


def test_augmentation_changes_images_and_nothing_else(tmp_path: Path) -> None:
    one = [store(tmp_path, 1)]
    for schedule in (TASKS, BATCHES, POOLED):
        plain, augmented = (steps(replace(schedule, augment=augment), one, 0, 1)[0] for augment in (False, True))
        images = "support" if isinstance(plain, Tasks) else "images"
        assert not torch.allclose(getattr(plain, images), getattr(augmented, images))
        labels = "labels" if isinstance(plain, Batch) else "query_labels"
        assert torch.equal(getattr(plain, labels), getattr(augmented, labels))


@pytest.mark.parametrize("augment", [False, "crop", True])
@pytest.mark.parametrize("schedule", [TASKS, BATCHES], ids=["tasks", "batches"])
def test_the_size_of_the_images_changes_at_its_step(schedule: Schedule, augment: bool, tmp_path: Path) -> None:
    one, growing = [store(tmp_path, 1)], replace(schedule, augment=augment, sizes=((4, 0), (6, 3), (8, 34)))
    whole = steps(growing, one, 0, 40)
    images = "images" if schedule is BATCHES else "support"
    assert [getattr(data, images).shape[-1] for data in whole] == [4] * 3 + [6] * 31 + [8] * 6
    for start in (2, 33, 35):
        assert all(map(equal, whole[start:], steps(growing, one, start, 40 - start)))
    assert all(map(equal, whole[34:], steps(replace(growing, sizes=()), one, 34, 6)))


def test_a_smaller_image_is_torchvisions(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 3, 20, 20), dtype=np.uint8)
    labels = np.repeat(np.arange(3), 3)
    prepared = Prepared(pixels, labels, list("abcdefghi"), list("xyz"), {"train": range(3)}, {})
    images = ImageStore(write_pack(tmp_path, "noise", prepared), "train", torch.device("cpu"), [0.5] * 3, [0.2] * 3)
    shown = images.showing(12).images(images.indices)
    expected = functional.resize(torch.from_numpy(pixels) / 255, [12, 12], antialias=True)
    torch.testing.assert_close(shown, (expected - 0.5) / 0.2, atol=1e-5, rtol=0)


def test_a_grey_image_is_in_every_channel(tmp_path: Path) -> None:
    images = store(tmp_path, 1, channels=3).images(np.arange(5))
    assert images.shape == (5, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])


def test_variable_tasks_differ_in_shape(stores: list[ImageStore]) -> None:
    shapes = {tasks.support.shape[1] for tasks in steps(VARIABLE, stores, 0, 20)}
    ways = {tasks.way for tasks in steps(VARIABLE, stores, 0, 20)}
    assert len(shapes) > 5
    assert ways <= set(range(5, 10)) and len(ways) > 2


def test_small_classes_are_left_out_where_the_suite_says_so(tmp_path: Path) -> None:
    few = [store(tmp_path, 0, images=3)]
    schedule = replace(TASKS, protocol=FixedProtocol("train", 5, 1, 3, 0, 0))
    with pytest.raises(EpisodeError, match="needs 4 images a class"):
        next(training_data(schedule, few, 0))
    with pytest.raises(EpisodeError, match="has 0 large enough"):
        next(training_data(replace(schedule, rules=Rules(leave_out=True)), few, 0))
