"""How the cost grows with episodes, images, way, and tasks a step: a figure, and its numbers as JSON beside it.

`python benchmarks/growth.py --out growth.png` takes about a minute on two cores.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the plain forms that `made` imports

from fsbench.engine.devices import tune_process
from fsbench.engine.evaluation import correct_counts, embed_split
from fsbench.engine.steps import Stepper
from fsbench.episodes.fixed import Episodes, FixedProtocol, draw_episodes
from fsbench.episodes.pool import pool_of
from fsbench.files.atomic import atomic_path, write_atomic
from fsbench.run.environment import describe_environment
from made import VINYALS, method, store
from peers import SCHEDULE, gradient_method, our_step, random_tasks

ROUNDS = 3
EPISODES = (600, 2_000, 6_000, 20_000, 100_000)
IMAGES = (256, 1_024, 4_096, 16_384)
WAYS = (5, 10, 20, 50)
TASKS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Line:
    """Median seconds of some work at several sizes."""

    label: str
    sizes: Sequence[int]
    seconds: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """The lines of one plot."""

    x_label: str
    lines: Sequence[Line]


def measure(folder: Path) -> list[Panel]:
    """All panels: Conv4-64 on made-up images, as many and as large as Omniglot's, for 1-shot episodes."""
    images, proto = store(folder, VINYALS), method("proto", VINYALS)
    features = torch.randn(len(images.indices), proto.backbone.features)

    def drawn(episodes: int, way: int = 5) -> Episodes:
        return draw_episodes(
            pool_of(images.pack, images.split), FixedProtocol(images.split, way, 1, 15, episodes, seed=0)
        )

    def answer(episodes: int, way: int = 5) -> Callable[[], object]:
        return partial(correct_counts, proto, images, drawn(episodes, way), features)

    def embed(number: int) -> Callable[[], object]:
        part = copy.copy(images)
        part.indices = images.indices[:number]
        return partial(embed_split, proto, part)

    def train_proto(way: int) -> Callable[[], object]:
        return partial(Stepper(method("proto", VINYALS), SCHEDULE), images.tasks(drawn(1, way)), 0)

    def train_fomaml(tasks: int) -> Callable[[], object]:
        return our_step(gradient_method("fomaml", VINYALS), random_tasks(VINYALS, tasks))

    return [
        Panel(
            "5-way episodes",
            [
                Line("draw", EPISODES, [median(partial(drawn, number)) for number in EPISODES]),
                Line("compare features", EPISODES, [median(answer(number)) for number in EPISODES]),
            ],
        ),
        Panel("images of 28×28", [Line("embed", IMAGES, [median(embed(number)) for number in IMAGES])]),
        Panel(
            "way",
            [
                Line("train ProtoNet, one step", WAYS, [median(train_proto(way)) for way in WAYS]),
                Line("compare 600 episodes", WAYS, [median(answer(600, way)) for way in WAYS]),
            ],
        ),
        Panel(
            "5-way tasks a step",
            [Line("train fo-MAML, one step", TASKS, [median(train_fomaml(number)) for number in TASKS])],
        ),
    ]


def median(work: Callable[[], object]) -> float:
    """Median seconds of some work, after one run untimed."""

    def timed() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    timed()
    return statistics.median(timed() for _ in range(ROUNDS))


def draw_figure(panels: Sequence[Panel], path: Path) -> None:
    """One plot a panel, all with the same logarithmic axis of time."""
    figure = Figure(figsize=(7.2, 5.4), layout=ConstrainedLayoutEngine(w_pad=0.12))
    plots = figure.subplots(2, 2, sharey=True)
    for axes, panel in zip(plots.flat, panels, strict=True):
        draw_panel(axes, panel)
    seconds = [value for panel in panels for line in panel.lines for value in line.seconds]
    plots[0, 0].set_ylim(min(seconds) / 2, 12 * max(seconds))  # with room for the legends
    plots[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in plots[:, 0]:
        axes.set_ylabel("seconds (median)")
    figure.savefig(path, format="png", dpi=200)


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Lines with a mark at every measurement; dotted, what is proportional to the size and ends at the same point."""
    for line, marker in zip(panel.lines, "os", strict=False):
        (drawn,) = axes.loglog(line.sizes, line.seconds, marker=marker, markersize=4, label=line.label)
        slope = [line.seconds[-1] * size / line.sizes[-1] for size in line.sizes]
        axes.loglog(line.sizes, slope, linestyle=":", linewidth=1, color=drawn.get_color())
    axes.plot([], [], linestyle=":", linewidth=1, color="grey", label="proportional")
    axes.set_xlabel(panel.x_label)
    axes.set_xticks(panel.lines[0].sizes)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{int(size):,}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(loc="upper left", fontsize="small", frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG file; the numbers go beside it as JSON")
    out: Path = parser.parse_args().out
    tune_process(deterministic=False)  # as `fsbench run` does
    with tempfile.TemporaryDirectory() as folder:
        panels = measure(Path(folder))
    content = {
        "environment": describe_environment(torch.device("cpu")).model_dump(),
        "rounds": ROUNDS,
        "panels": [asdict(panel) for panel in panels],
    }
    write_atomic(out.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
    with atomic_path(out) as temporary:
        draw_figure(panels, temporary)


if __name__ == "__main__":
    main()
