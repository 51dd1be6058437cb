"""The steps of `gpu.py`: what is measured on a CUDA device."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader

from fsbench.data.prepared import Prepared, write_pack
from fsbench.engine.evaluation import correct_counts, embed_split
from fsbench.engine.precision import backbones_in
from fsbench.engine.steps import Stepper, cuda_recorder
from fsbench.engine.store import ImageStore
from fsbench.episodes.fixed import Episodes
from fsbench.files.atomic import make_folder
from fsbench.stats.intervals import mean_ci
from fsbench.suite_files import list_suites
from fsbench.tasks import Tasks
from gpu_drill import drill
from gpu_matrix import changing_shapes, matrix
from gpu_setting import SMALL, Result, Setting
from helpers.tiny import write_source, write_suite
from loaders import ImageFiles, Tensors, decode, write_files
from made import Shape, draw, method, store
from peers import SCHEDULE, gradient_method, higher_step, our_step, random_tasks

__all__ = ["STEPS"]

PRECISIONS: Final[tuple[tuple[str, bool, Literal["fp32", "bf16"]], ...]] = (  # name, TF32, of the backbone
    ("float32", False, "fp32"),
    ("TF32", True, "fp32"),
    ("bf16", True, "bf16"),
)


def inner_loop(setting: Setting, _: Result) -> Result:
    """Tasks a second in training, 5-way 1-shot, 4 tasks a step: ours beside a `higher` loop."""
    tasks = random_tasks(setting.shape, 4, device=setting.device.type)
    result: Result = {"finished": True, "unit": "tasks/s"}
    for name in ("fomaml", "foprotomaml"):
        gradient = gradient_method(name, setting.shape).to(setting.device)
        peer, ours = higher_step(gradient, tasks), our_step(gradient, tasks)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            torch.testing.assert_close(ours()[0], peer()[0], rtol=1e-3, atol=0)
        for step in [ours, peer] * 5:  # algorithms are searched, and ours is recorded
            step()
        result[name] = setting.beside(ours, peer, work=len(tasks), at_least=10)
    return result


def training(setting: Setting, _: Result) -> Result:
    """Episodes a second in training ProtoNet, 5-way 5-shot: fed from a pack, beside the same step fed by a loader."""
    shape = SMALL if setting.small else Shape("JPEG files", channels=3, size=84, classes=20, images=60)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, labels = write_files(folder, shape, stored=shape.size, kind="jpg")
        files = ImageFiles(paths, labels, shape)
        images = setting.images(store_of(files, folder / "pack"))
        episodes = draw(images, setting.size(60, 4), shot=5)  # decoding them takes seconds a round

        def fed_by_pack() -> Iterator[Tasks]:
            return images.stream(draw(images, len(episodes), shot=5), 1)

        workers = min(8, os.cpu_count() or 1)
        loading = {"files": (files, 0), f"files, {workers} workers": (files, workers), "tensors": (Tensors(files), 0)}
        ours = partial(take_steps, proto_step(setting), fed_by_pack)
        result: Result = {"finished": True, "unit": "episodes/s", "at_least": 100}
        for label, (dataset, processes) in loading.items():
            fed = partial(fed_by_loader, setting, loader_of(dataset, episodes, processes), episodes)
            first_losses = [proto_step(setting)(next(iter(source())), 0) for source in (fed_by_pack, fed)]
            torch.testing.assert_close(*first_losses, rtol=1e-2, atol=0)
            peer = partial(take_steps, proto_step(setting), fed)
            ours(), peer()
            result[label] = setting.beside(ours, peer, work=len(episodes), at_least=5)
    return result


def store_of(files: ImageFiles, folder: Path) -> ImageStore:
    """The same images as a pack."""
    pixels = np.stack([decode(path, files.shape) for path in files.paths])
    names, classes = [path.name for path in files.paths], sorted(set(files.labels))
    splits = {"test": classes}
    prepared = Prepared(pixels, np.asarray(files.labels), names, [str(label) for label in classes], splits, {})
    return ImageStore(write_pack(folder, "made", prepared), "test", torch.device("cpu"), [0.5] * 3, [0.25] * 3)


def loader_of(dataset: Any, episodes: Episodes, workers: int) -> DataLoader[Any]:
    indices = np.concatenate([episodes.support_images, episodes.query_images], axis=1).tolist()
    pinned = torch.cuda.is_available()
    return DataLoader(
        dataset, batch_sampler=indices, num_workers=workers, persistent_workers=workers > 0, pin_memory=pinned
    )


def fed_by_loader(setting: Setting, loading: DataLoader[Any], episodes: Episodes) -> Iterator[Tasks]:
    support_labels, query_labels = (
        torch.from_numpy(labels).to(setting.device) for labels in (episodes.support_labels, episodes.query_labels)
    )
    shots = episodes.support_images.shape[1]
    for index, (batch, _) in enumerate(loading):
        both, which = batch.to(setting.device, non_blocking=True)[None], slice(index, index + 1)
        yield Tasks(both[:, :shots], support_labels[which], both[:, shots:], query_labels[which], episodes.way)


def proto_step(setting: Setting) -> Stepper:
    """A training step of a fresh ProtoNet."""
    proto = method("proto", setting.shape).to(setting.device)
    return Stepper(proto, SCHEDULE, cuda_recorder(proto, SCHEDULE, setting.device))


def take_steps(step: Stepper, source: Callable[[], Iterable[Tasks]]) -> None:
    for number, tasks in enumerate(source()):
        step(tasks, number)


def episodes(setting: Setting, _: Result) -> Result:
    """Seconds for 10,000 test episodes from features, of every method that has them."""
    result: Result = {"finished": True, "unit": "s", "at_most": 2}
    with tempfile.TemporaryDirectory() as name:
        images = setting.images(store(Path(name), setting.shape))
        for shot, method_name in itertools.product((1, 5), ("knn", "finetune", "matching", "proto", "relation")):
            drawn = draw(images, setting.size(10_000, 50), shot)
            built = method(method_name, setting.shape).to(setting.device)
            features = embed_split(built, images)
            answer = partial(correct_counts, built, images, drawn, features)
            answer()
            result[f"{method_name}, {shot}-shot"] = statistics.median(setting.seconds(answer) for _ in range(3))
        result["drawing them"] = setting.seconds(partial(draw, images, len(drawn), shot))
    return result


def precision(setting: Setting, _: Result) -> Result:
    """ProtoNet, 5-way 5-shot, embedding in float32, TF32 and bf16: accuracy on the same episodes, and speed.

    Its weights are untrained, and the images hard to tell apart, so that no answer is beyond doubt.
    """
    proto = method("proto", setting.shape).to(setting.device)
    accuracies: dict[str, Any] = {}
    result: Result = {"finished": True}
    with tempfile.TemporaryDirectory() as name:
        images = setting.images(store(Path(name), setting.shape))
        drawn = draw(images, setting.size(10_000, 50), shot=5)
        embed = partial(embed_split, proto, images)
        for label, tf32, of_backbone in PRECISIONS:
            with (
                torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32),
                backbones_in(of_backbone, proto),
            ):
                counts = correct_counts(proto, images, drawn, embed())
                seconds = statistics.median(setting.seconds(embed) for _ in range(5))
            accuracies[label] = 100 * counts / drawn.query_images.shape[1]
            gained = mean_ci(accuracies[label] - accuracies["float32"])
            result[label] = {
                "accuracy": float(accuracies[label].mean()),
                "difference": gained.mean,
                "ci95_of_difference": gained.half_width,
                "images/s": len(images.indices) / seconds,
            }
    return result


def table(suite: str, setting: Setting, before: Result) -> Result:
    """Seconds for all of a suite, from its images' files to its table, in slices that end with the deadline.

    A slice begins by doing again what the one before had done since it last saved, so that the sum is an upper bound.
    """
    if suite not in {known.name for known in list_suites()}:
        return {"finished": False, "absent": True, "why": f"there is no suite {suite}"}
    folder, slices = setting.runs / suite, list(before.get("slices", []))
    make_folder(folder)
    environment, what = dict(os.environ), suite
    if setting.small:
        write_source(folder / "cache")
        environment["FSBENCH_CACHE"], what = str(folder / "cache"), str(write_suite(folder / "tiny.toml"))
    command = [sys.executable, "-m", "fsbench", "run", "--suite", what, "--device", setting.device.type]
    command += ["--out", str(folder), *([] if slices else ["--fresh"])]
    command += ["--data-root", str(setting.data_root)] if setting.data_root else []
    started = time.monotonic()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            code = process.wait(max(0.0, setting.deadline - started))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.terminate()
            process.wait()
    if code:
        return {"finished": False, "slices": slices, "why": f"fsbench run ended with code {code}; see {log.name}"}
    slices.append(time.monotonic() - started)
    return {"finished": code == 0, "slices": slices, "seconds": sum(slices)}


STEPS: dict[str, Callable[[Setting, Result], Result]] = {
    "matrix": matrix,
    "changing-shapes": changing_shapes,
    "inner-loop": inner_loop,
    "training": training,
    "episodes": episodes,
    "precision": precision,
    "drill": drill,  # after what is recorded in this process: before torch 2.13 it leaves one that records nothing more
    "omniglot": partial(table, "omniglot"),
    "miniimagenet": partial(table, "miniimagenet"),
}
