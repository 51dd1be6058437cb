"""The functions of the Python interface that put together what the command line does; `fsbench` hands them on.

Reading records does not import torch; running and evaluating do, when they are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fsbench.backbones.specification import PretrainedSpec, given_backbone
from fsbench.errors import UsageError, unknown
from fsbench.report.reading import records_of
from fsbench.setting import PROTOCOLS, ProtocolName
from fsbench.suite import MOST_SEEDS, Suite, check_number
from fsbench.suite_files import load_suite

if TYPE_CHECKING:
    from fsbench.engine.precision import Precision
    from fsbench.methods.base import Method
    from fsbench.records import Record
    from fsbench.report.table import RankRule, Table
    from fsbench.run.evaluate import Accuracy, Embed
    from fsbench.run.options import Options

__all__ = ["evaluate", "read_records", "run_suite"]


def run_suite(
    suite: str | Path | Suite = "glyphs",
    out: str | Path | None = None,
    *,
    methods: str | Sequence[str] = (),
    shots: int | Sequence[int] = (),
    protocol: ProtocolName = "fixed",
    backbone: str | None = None,
    weights: str | Path | None = None,
    download: bool = False,
    features: str | Path | Sequence[str | Path] = (),
    image_size: int | None = None,
    episodes: int | None = None,
    seeds: int = 1,
    training_fraction: float = 1.0,
    precision: Precision = "auto",
    deterministic: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    episodes_file: str | Path | None = None,
    fresh: bool = False,
    executor: Literal["local", "processes", "ray", "slurm"] = "local",
    workers: int | None = None,
    address: str | None = None,
    ranks: RankRule = "metadataset",
    cell_ranks: bool = False,
) -> Table:
    """Train and evaluate the methods of a suite, as `fsbench run` does.

    What is finished in the out folder and has the same identity is used again; a training that was stopped goes on.

    Args:
        suite: The name of a suite, the path of a TOML file, or a suite.
        out: Where records, checkpoints and tables are written; None: `runs/<suite>`.
        methods: Rows to run; none: all.
        shots: Shots to run; none: all.
        protocol: Fixed ways and shots as the suite says, Meta-Dataset's variable ones, or k-shot: all test
            classes at once, with K images of each, on one fixed set of queries.
        backbone: Instead of the suite's; one of timm or torchvision, or with weights, is that of rows without training.
        weights: Of that backbone: a file.
        download: Have timm, torchvision or open_clip get the weights of that backbone.
        features: Files of features instead.
        image_size: Height and width instead of the suite's, pixels.
        episodes: Number of test episodes: the first ones of the suite's; None: all.
        seeds: Number of training seeds, from 0.
        training_fraction: Shorten every training to this fraction; the table is stamped so.
        precision: Of backbones in training: "auto", "fp32" or "bf16", as the option of `fsbench run`.
        deterministic: Use only operations that are reproducible bit by bit.
        device: "auto", "cpu", "cuda" or "mps".
        data_root: The folder of the sources' folders; None: `FSBENCH_DATA`, else `datasets`.
        episodes_file: Test on the exported episodes of this file only.
        fresh: Start over instead of using what is finished.
        executor: Where the work is done: in this process, in several, on a Ray cluster, or as jobs of Slurm.
        workers: Number of processes, None: one a GPU, or one a core; or of jobs in Slurm's queue, None: all.
        address: Of the Ray cluster; None: that of this machine, or a new one.
        ranks: The rule of the ranks: Meta-Dataset's, or paired differences.
        cell_ranks: Write the rank into every cell of a table of several sources.

    Returns:
        The table, which also lies in the out folder.

    Raises:
        FsbenchError: Any error that the user can fix; what was finished is kept.
    """
    from fsbench.engine.devices import tune_process
    from fsbench.episodes.files import read_episodes
    from fsbench.run import run
    from fsbench.run.executors import make_executor
    from fsbench.run.order import Order

    files = [features] if isinstance(features, str | Path) else features
    given = given_backbone(
        backbone, None if weights is None else str(weights), list(map(str, files)), download=download
    )
    chosen = _suite(suite, backbone if given is None else None, image_size, given)
    order = Order(
        chosen,
        _options(
            methods,
            shots,
            protocol,
            episodes=episodes,
            seeds=seeds,
            fraction=training_fraction,
            precision=precision,
            exact=deterministic,
        ),
        Path(out or Path("runs") / chosen.name),
        device,
        None if data_root is None else Path(data_root),
        None if episodes_file is None else read_episodes(Path(episodes_file)),
    )
    for kind, name, known in (
        ("executor", executor, ("local", "processes", "ray", "slurm")),
        ("precision", precision, ("auto", "fp32", "bf16")),
        ("rule of ranks", ranks, ("metadataset", "paired")),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    placed = make_executor(executor, workers=workers, address=address)
    tune_process(deterministic=deterministic, one_shape=not order.options.variable)
    return run.run_suite(order, executor=placed, fresh=fresh, rule=ranks, cell_ranks=cell_ranks)


def evaluate(
    model: Method | Embed,
    suite: str | Path | Suite = "glyphs",
    *,
    shots: int | Sequence[int] = (),
    protocol: ProtocolName = "fixed",
    image_size: int | None = None,
    episodes: int | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
) -> list[Accuracy]:
    """Measure a model of your own, as it is, on the test episodes of a suite.

    Args:
        model: A function or module from images `[N, C, H, W]` to features `[N, ...]`, or a `Method` with its weights.
            Features are compared with the mean of every class by Euclidean distance; a method compares as it
            does. A module is moved to the device and put into evaluation mode.
        suite: The name of a suite, the path of a TOML file, or a suite. It says test sources and episodes, and the size
            and normalisation of the images.
        shots: Shots to measure; none: those of the suite.
        protocol: Fixed ways and shots as the suite says, Meta-Dataset's variable ones, or k-shot: all test
            classes at once, with K images of each, on one fixed set of queries.
        image_size: Height and width instead of the suite's, pixels.
        episodes: Number of test episodes: the first ones of the suite's; None: all.
        data_root: The folder of the sources' folders; None: `FSBENCH_DATA`, else `datasets`.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        One accuracy for every test source that is there and every shot, in the order of the suite.

    Raises:
        FsbenchError: Any error that the user can fix.
    """
    from fsbench.run.evaluate import evaluate_model

    return evaluate_model(
        model,
        _suite(suite, None, image_size, None),
        _options((), shots, protocol, episodes=episodes),
        data_root=None if data_root is None else Path(data_root),
        device=device,
    )


def read_records(folder: str | Path) -> list[Record]:
    """All records of a run: of the folder that it wrote, or of the `records` in it.

    Raises:
        RecordError: There is none, or one is damaged.
    """
    return records_of(Path(folder))


def _suite(
    suite: str | Path | Suite, backbone: str | None, image_size: int | None, given: PretrainedSpec | None
) -> Suite:
    if image_size is not None:
        _check_numbers(Integral, "a whole number", image_size=image_size)
        if not 8 <= image_size <= 1024:
            raise UsageError(f"image_size is {image_size}; it must lie between 8 and 1024.")
    loaded = suite if isinstance(suite, Suite) else load_suite(str(suite))
    return loaded.changed(backbone=backbone, image_size=image_size, given=given)


def _options(
    methods: str | Sequence[str],
    shots: int | Sequence[int],
    protocol: ProtocolName,
    *,
    episodes: int | None = None,
    seeds: int = 1,
    fraction: float = 1.0,
    precision: Precision = "auto",
    exact: bool = False,
) -> Options:
    """Options that are in the range in which the command line would take them."""
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    wanted = tuple(dict.fromkeys(shots)) if isinstance(shots, Iterable) else (shots,)
    if not all(isinstance(shot, Integral) for shot in wanted):
        raise UsageError(f"shots is {shots!r:.80}; it must be a whole number, or several of them as a list.")
    _check_numbers(Integral, "a whole number", episodes=2 if episodes is None else episodes, seeds=seeds)
    _check_numbers(Real, "a number", training_fraction=fraction)
    for problem, sentence in (
        (any(shot < 1 for shot in wanted), f"shots is {shots}; every shot must be at least 1."),
        (episodes is not None and episodes < 2, f"episodes is {episodes}; it must be at least 2."),
        (not 1 <= seeds <= MOST_SEEDS, f"seeds is {seeds}; it must be at least 1 and at most {MOST_SEEDS:,}."),
        (not 0 < fraction <= 1, f"training_fraction is {fraction}; it must lie above 0 and be at most 1."),
    ):
        if problem:
            raise UsageError(sentence)
    check_number(episodes)
    from fsbench.run.options import Options

    return Options(
        rows=(methods,) if isinstance(methods, str) else tuple(methods),
        protocol=protocol,
        shots=wanted,
        episodes=episodes,
        seeds=seeds,
        fraction=fraction,
        precision=precision,
        deterministic=exact,
    )


def _check_numbers(kind: type, called: str, **given: object) -> None:
    for name, value in given.items():
        if not isinstance(value, kind):
            raise UsageError(f"{name} is {value!r:.80}; it must be {called}.")
