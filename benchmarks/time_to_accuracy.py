"""Seconds until a validation accuracy is reached, and what a peer's training has reached after the same seconds.

`python benchmarks/time_to_accuracy.py --out FILE.json` needs miniImageNet and a quiet machine, and takes about twice as
long as the trainings of three rows. Both sides start from random weights on the same images and are looked at on the
same validation episodes. The goals are the lower ends of what is published for the test classes with a Conv4-64; on the
validation classes our rows have a point more or less. The peers train as their documentation says, for the time that
ours took, without looks:

- easyfsl 1.5, notebooks/classical_training.ipynb and episodic_training.ipynb: SGD with momentum 0.9 and weight decay
  5e-4, rate 0.1 and batches of 128, or 0.01 and tasks of 5 ways, 5 shots and 10 queries; its sampler, a DataLoader,
  random crops and flips. The milestones of its rates lie far beyond the time.
- first-order MAML with `higher`: 4 tasks a step, Adam 1e-3, as the suite miniimagenet-published trains it.

The images are decoded beforehand for the peers too, and glibc's allocation thresholds are raised for both sides.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import click
import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from fsbench.engine.checkpoints import load_checkpoint
from fsbench.engine.devices import tune_process
from fsbench.engine.evaluation import asked_counts, correct_counts
from fsbench.engine.precision import pick_precision
from fsbench.engine.store import ImageStore
from fsbench.episodes.sampler import Sampler
from fsbench.files.atomic import write_atomic
from fsbench.forecast.outlook import look_ahead
from fsbench.forecast.speeds import MeasuredSpeeds
from fsbench.methods.base import Method, prototypes
from fsbench.methods.building import build_model
from fsbench.methods.gradient import GradientMethod
from fsbench.progress import TrainingView
from fsbench.run.cells import Training
from fsbench.run.environment import describe_environment
from fsbench.run.options import Options
from fsbench.run.order import Order, Run
from fsbench.run.worker import Worker
from fsbench.suite_files import load_suite
from helpers.plain import PlainConv4, plain_inner_loop
from loaders import loader

CPU: Final = torch.device("cpu")
Peer: TypeAlias = Callable[[Run, Training, Method, float], int]  # trains the backbone for some seconds; its steps


@dataclass(frozen=True)
class Goal:
    """A row, and the validation accuracy to reach.

    Attributes:
        row: Of the suite.
        shot: Of its episodes.
        accuracy: Percent, on the suite's validation episodes.
        peer: Who else trains it.
        peer_name: What it is called.
    """

    row: str
    shot: int
    accuracy: float
    peer: Peer
    peer_name: str


class Pixels(Dataset[tuple[Tensor, int]]):
    """The training images, decoded; cropped, flipped and normalised one by one when they are asked for."""

    def __init__(self, run: Run, training: Training) -> None:
        pack, images = run.material.packs[training.sources[0]], run.order.suite.images
        store = ImageStore(pack, "train", CPU, images.mean, images.std)
        place = {label: number for number, label in enumerate(pack.splits["train"])}
        self._images, self._indices = pack.images, store.indices
        self._labels = [place[label] for label in pack.labels[store.indices]]
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(images.size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(images.mean), list(images.std)),
            ]
        )

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(torch.from_numpy(self._images[self._indices[index]].copy())), self._labels[index]

    def get_labels(self) -> list[int]:
        """What easyfsl's sampler asks for."""
        return self._labels


class Looks:
    """A view of a training that remembers after how many seconds its accuracy reached its goal."""

    def __init__(self, goal: float) -> None:
        self._goal, self._started = goal, time.monotonic()
        self.reached: float | None = None

    def training(self, label: str, steps: int) -> TrainingView:
        """The training begins."""

        def see(step: int, loss: float, accuracy: float | None) -> None:
            if accuracy is not None and accuracy >= self._goal and self.reached is None:
                self.reached = time.monotonic() - self._started

        return see

    def look(self, label: str, total: int) -> Callable[[int], None]:
        """Its accuracy is told to the training's view."""
        return lambda done: None

    def part(self, label: str, total: int) -> Callable[[int], None]:
        """Nothing is evaluated."""
        return lambda done: None

    def advance(self) -> None:
        """Nothing is evaluated."""


def classical(run: Run, training: Training, method: Method, seconds: float) -> int:
    """The classical training of easyfsl."""
    backbone = PlainConv4(method.backbone).train()
    head = nn.Linear(method.backbone.features, len(run.material.packs[training.sources[0]].splits["train"]))
    pixels = DataLoader(Pixels(run, training), batch_size=128, shuffle=True)
    endless = itertools.chain.from_iterable(itertools.repeat(pixels))
    batches = ((head(backbone(images)), labels) for images, labels in endless)
    return _descend(method, backbone, [*backbone.parameters(), *head.parameters()], 0.1, batches, seconds)


def episodic(run: Run, training: Training, method: Method, seconds: float) -> int:
    """The episodic training of easyfsl, of a ProtoNet."""
    backbone, tasks = PlainConv4(method.backbone).train(), loader(Pixels(run, training), shot=5, tasks=500, queries=10)

    def answers() -> Iterator[tuple[Tensor, Tensor]]:
        for support, labels, query, asked, _ in itertools.chain.from_iterable(tasks() for _ in itertools.count()):
            centres = prototypes(backbone(support)[None], labels[None], 5)[0]
            yield -torch.cdist(backbone(query), centres), asked

    return _descend(method, backbone, list(backbone.parameters()), 0.01, answers(), seconds)


def maml(run: Run, training: Training, method: Method, seconds: float) -> int:
    """First-order MAML, task by task with `higher`."""
    assert isinstance(method, GradientMethod)
    images, schedule = run.order.suite.images, training.schedule
    store = ImageStore(run.material.packs[training.sources[0]], "train", CPU, images.mean, images.std)
    sampler, backbone = Sampler(store.pack, schedule.protocol, schedule.rules), PlainConv4(method.backbone).train()
    optimiser, started = torch.optim.Adam(backbone.parameters(), lr=1e-3), time.monotonic()
    for step in itertools.count():
        if time.monotonic() - started >= seconds:
            break
        (block,) = sampler.draw(4 * step, 4 * step + 4).blocks
        optimiser.zero_grad()
        for task in store.stream(block, 1, 4 * step):
            _, _, gradients = plain_inner_loop(method, backbone, task, method.train_steps)
            for weight, gradient in zip(backbone.parameters(), gradients, strict=True):
                weight.grad = gradient / 4 if weight.grad is None else weight.grad + gradient / 4
        optimiser.step()
    _copy_back(method, backbone)
    return step


def _descend(
    method: Method,
    backbone: PlainConv4,
    weights: list[nn.Parameter],
    rate: float,
    answers: Iterator[tuple[Tensor, Tensor]],
    seconds: float,
) -> int:
    optimiser, started, step = torch.optim.SGD(weights, rate, momentum=0.9, weight_decay=5e-4), time.monotonic(), 0
    while time.monotonic() - started < seconds:
        logits, labels = next(answers)
        optimiser.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimiser.step()
        step += 1
    _copy_back(method, backbone)
    return step


def _copy_back(method: Method, backbone: PlainConv4) -> None:
    """Give the method the weights and statistics of the plain backbone."""
    for block, conv, norm in zip(method.backbone.blocks, backbone.convs, backbone.norms, strict=True):
        block.conv.load_state_dict(conv.state_dict())
        block.norm.load_state_dict(norm.state_dict())


GOALS: Final = (
    Goal("knn", 1, 44.0, classical, "easyfsl's classical training"),
    Goal("proto", 5, 64.0, episodic, "easyfsl's episodic training"),
    Goal("fomaml", 1, 43.0, maml, "a loop with higher"),
)


def measure(goal: Goal, fraction: float, folder: Path) -> dict[str, Any]:
    """What `--out` holds of one goal; what its training builds upon is trained once a folder, and its seconds count."""
    suite, options = load_suite("miniimagenet"), Options(rows=(goal.row,), shots=(goal.shot,), fraction=fraction)
    run = Run(Order(suite, options, folder))
    training, worker, before = run.plan[0].training, Worker(run), 0.0
    for each in training.upon:
        before += float(trained(run, worker, each, Looks(100.0))["seconds"])
    looks = Looks(goal.accuracy)
    own = trained(run, worker, training, looks)
    taken, reached = before + float(own["seconds"]), None if looks.reached is None else before + looks.reached
    packs = run.material.packs
    method = build_model(
        suite,
        training.backbone,
        run.methods[training.method],
        training.params,
        classes=len(packs[training.sources[0]].splits["train"]),
        seed=0,
        device=CPU,
    )
    their_steps = goal.peer(run, training, method, reached or taken)
    store = ImageStore(packs[training.validation_source], "val", CPU, suite.images.mean, suite.images.std)
    episodes = Sampler(store.pack, training.validation, training.schedule.rules).draw()
    theirs = float(100 * (correct_counts(method, store, episodes) / asked_counts(episodes)).mean())
    return {
        "row": run.plan[0].label,
        "shot": goal.shot,
        "goal": goal.accuracy,
        "seconds": reached,
        "seconds of the whole training": taken,
        "validation": own["summary"]["best_accuracy"],
        "published seconds": published_seconds(goal),
        "peer": goal.peer_name,
        "their steps": their_steps,
        "their validation": theirs,
    }


def trained(run: Run, worker: Worker, training: Training, looks: Looks) -> dict[str, Any]:
    """What the checkpoint of a training says, once it is done."""
    worker.train(training, looks)
    checkpoint = load_checkpoint(run.checkpoint(training))
    assert checkpoint is not None
    return checkpoint[1]


def published_seconds(goal: Goal) -> float:
    """What the training of the suite miniimagenet-published would take here, from the speed of its steps."""
    suite = load_suite("miniimagenet-published")
    ahead = look_ahead(suite, Options(rows=(goal.row,), shots=(goal.shot,)))
    speeds = MeasuredSpeeds(ahead, CPU, pick_precision("auto", CPU, deterministic=False))
    return sum(speeds.step(training) * training.schedule.steps for training in ahead.trainings)


def to_markdown(results: list[dict[str, Any]]) -> str:
    """The results as a table."""
    heads = (
        "row",
        "goal, validation %",
        "seconds",
        "reached in the end",
        "published length, h",
        "ratio",
        "peer",
        "its %",
    )
    lines = [
        (
            f"{found['row']}, {found['shot']}-shot",
            f"{found['goal']:.0f}",
            "not reached" if found["seconds"] is None else f"{found['seconds']:.0f}",
            f"{found['validation']:.1f}",
            f"{found['published seconds'] / 3600:.1f}",
            f"{found['published seconds'] / (found['seconds'] or found['seconds of the whole training']):.0f}",
            found["peer"],
            f"{found['their validation']:.1f}",
        )
        for found in results
    ]
    return tabulate(lines, heads, tablefmt="pipe") + "\n"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file; a table as Markdown beside it.")
@click.option("--only", type=click.Choice([goal.row for goal in GOALS]), help="One of the rows.")
@click.option("--fraction", default=1.0, help="Of the trainings, to try the benchmark.")
def main(out: Path, only: str | None, fraction: float) -> None:
    """Measure the time to a validation accuracy; rows that FILE holds are kept unless they are measured again."""
    tune_process(deterministic=False)
    content = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"rows": {}}
    with TemporaryDirectory() as folder:
        for goal in GOALS:
            if only in (None, goal.row):
                found = measure(goal, fraction, Path(folder)) | {"fraction": fraction}
                content["rows"][goal.row] = found | {"environment": describe_environment(CPU).model_dump()}
                write_atomic(out, json.dumps(content, indent=1) + "\n")
                write_atomic(out.with_suffix(".md"), to_markdown(list(content["rows"].values())))


if __name__ == "__main__":
    main()
