"""Carries out a plan: trains what is missing, evaluates what is missing, writes records and tables."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from fsbench.backbones import backbone_label, build_backbone
from fsbench.columns import Columns, open_columns
from fsbench.devices import cost_of_determinism, describe_environment, pick_device, tune_process
from fsbench.episode_files import EpisodeFile
from fsbench.errors import NewerRecordError, RecordError, SuiteError
from fsbench.evaluation import asked_counts, correct_counts, embed_split
from fsbench.files import locked, make_folder
from fsbench.methods import check_row, load_method
from fsbench.methods.base import FeatureMethod, Method
from fsbench.plan import Cell, Options, Training, make_plan, selected_rows
from fsbench.progress import Progress, open_progress
from fsbench.records import Record, RecordStore, TrainingSummary, cell_id
from fsbench.report.files import write_reports
from fsbench.report.table import RankRule, Table
from fsbench.samplers import Sampler
from fsbench.stats import mean_ci
from fsbench.suite import Suite
from fsbench.tasks import ImageStore
from fsbench.training import load_trained, train

__all__ = ["run_suite"]


def run_suite(
    suite: Suite,
    options: Options,
    *,
    out: Path,
    device: str = "auto",
    data_root: Path | None = None,
    fresh: bool = False,
    episode_file: EpisodeFile | None = None,
    rule: RankRule = "metadataset",
    ranks: bool = False,
) -> Table:
    """Run a suite and write `table.md`, `table.csv`, `ranks.csv` and `records/` into `out`.

    What is finished and has the same identity is used again; a training that was stopped goes on.

    Args:
        suite: What to measure.
        options: What to change of it.
        out: Where to write.
        device: "auto", "cpu" or "cuda".
        data_root: Where the sources' files lie, if a pack is not yet prepared.
        fresh: Start over: remove the records and checkpoints of this plan first.
        episode_file: Test on these episodes, and on no others.
        rule: Of the ranks, as in `fsbench.report.table.build_table`.
        ranks: Show the rank in every cell of a table of several sources.

    Raises:
        FsbenchError: Anything that its reader can mend; what was finished is kept.
    """
    chosen = pick_device(device)
    tune_process(deterministic=options.deterministic)
    rows = selected_rows(suite, options)
    trained = [suite.trained_as(row) for row in rows]
    needed = dict.fromkeys([*rows, *trained, *(start for row in trained if (start := suite.methods[row].start))])
    methods = {suite.methods[row].method: load_method(suite.methods[row].method) for row in needed}
    for row in needed:
        check_row(row, suite.methods[row], methods[suite.methods[row].method])
    make_folder(out)
    report = functools.partial(print, file=sys.stderr, flush=True)
    if options.deterministic:
        report(cost_of_determinism(chosen))
    columns = open_columns(suite, options, data_root=data_root, episode_file=episode_file, report=report)
    plan = make_plan(suite, options, methods, columns.packs, columns.episode_sets)
    with open_progress(len(plan)) as progress:
        records = _Run(suite, methods, columns, chosen, out, progress).carry_out(plan, fresh=fresh)
    return write_reports(records, out, rule=rule, ranks=ranks)


class _Run:
    """What the trainings and cells of one run share."""

    def __init__(
        self,
        suite: Suite,
        methods: Mapping[str, type[Method]],
        columns: Columns,
        device: torch.device,
        out: Path,
        progress: Progress,
    ) -> None:
        self._suite, self._methods, self._columns, self._device = suite, methods, columns, device
        self._store = RecordStore(out / "records")
        self._checkpoints = out / "checkpoints"
        self._progress = progress
        self._environment = describe_environment(device)
        self._images = functools.cache(
            lambda source, split: ImageStore(columns.packs[source], split, device, suite.images.mean, suite.images.std)
        )

    def carry_out(self, plan: Sequence[Cell], *, fresh: bool) -> list[Record]:
        """The records of all cells, in the order of the plan."""
        if fresh:
            for cell in plan:
                self._store.path(cell.identity).unlink(missing_ok=True)
                self._checkpoint(cell.training).unlink(missing_ok=True)
        records = []
        for _, group in groupby(plan, key=lambda cell: cell.training.id):
            cells = list(group)
            found = [self._finished(cell) for cell in cells]
            if None in found:
                with locked(self._checkpoint(cells[0].training), self._wait):
                    found = self._measure(cells, [self._finished(cell) for cell in cells])
            records += [record for record in found if record is not None]
            for _ in cells:
                self._progress.advance()
        return records

    def _wait(self) -> None:
        self._progress.line("Waiting for another run in this folder, which is at the same training.")

    def _finished(self, cell: Cell) -> Record | None:
        """The record of a cell if it is there and whole; a damaged one is set aside."""
        try:
            return self._store.find(cell.identity)
        except NewerRecordError:
            raise
        except RecordError as error:
            aside = self._store.set_aside(cell.identity)
            self._progress.line(f"{error} It is set aside as {aside.name} and done again.")
            return None

    def _measure(self, cells: Sequence[Cell], found: Sequence[Record | None]) -> list[Record | None]:
        """Train the model that some cells share, and evaluate those of them that have no record."""
        if None not in found:  # another run has done it meanwhile
            return list(found)
        weights, summary, seconds = self._trained(cells[0].training)
        features: dict[str, Tensor] = {}
        records = list(found)
        for index, cell in enumerate(cells):
            if records[index] is None:
                records[index] = self._evaluate(cell, weights, summary, seconds, features)
        return records

    def _trained(self, training: Training) -> tuple[dict[str, Tensor], TrainingSummary, float]:
        """The weights of a training, its summary, and how long it took just now in seconds."""
        method = self._build(training.method, training.params, training)
        path = self._checkpoint(training)
        started = time.monotonic()
        try:
            summary = load_trained(path, method)
        except RecordError as error:
            aside = path.rename(path.with_suffix(".safetensors.corrupt"))
            self._progress.line(f"{error} It is set aside as {aside.name} and done again.")
            summary = None
        if summary is None:
            shot = "" if training.shot is None else f" {training.shot}-shot"
            view = self._progress.training(f"training {training.row}{shot}", training.schedule.steps)
            if training.start is not None:
                weights, _, _ = self._trained(training.start)
                own = method.state_dict()
                method.load_state_dict(own | {name: weights[name] for name in own if name.startswith("backbone.")})
            looked_at = self._images(training.validation_source, "val")
            episodes = Sampler(looked_at.pack, training.validation, training.schedule.rules).draw()
            stores = [self._images(source, "train") for source in training.sources]
            summary = train(method, training.schedule, stores, (looked_at, episodes), path, view)
        return method.state_dict(), summary, time.monotonic() - started

    def _evaluate(
        self,
        cell: Cell,
        weights: Mapping[str, Tensor],
        summary: TrainingSummary,
        seconds: float,
        features: dict[str, Tensor],
    ) -> Record:
        """Evaluate a cell and write its record; `features` keeps a source's features for the next cell."""
        identity, episodes = cell.identity, cell.episode_set.episodes
        method = self._build(identity.method, identity.params, cell.training)
        try:
            method.load_state_dict(weights)
        except RuntimeError as error:
            raise SuiteError(
                f"methods.{identity.row} cannot use the training of {cell.training.row}: their weights differ; "
                "give it a training of its own."
            ) from error
        store = self._images(identity.source, identity.split)
        started = time.monotonic()
        if isinstance(method, FeatureMethod) and not method.transductive:
            if identity.source not in features:
                features[identity.source] = embed_split(method, store)
            correct = correct_counts(method, store, episodes, features[identity.source])
        else:
            correct = correct_counts(method, store, episodes)
        asked = asked_counts(episodes)
        interval = mean_ci(100.0 * correct / asked)
        record = Record(
            cell=cell_id(identity),
            label=cell.label,
            backbone_label=backbone_label(**self._suite.backbone.model_dump()),
            identity=identity,
            features=getattr(getattr(method, "backbone", None), "features", None),
            absent=dict(self._columns.absent),
            train_partial={
                source: partial
                for source in cell.training.sources
                if (partial := self._columns.packs[source].partial) is not None
            },
            correct=correct.tolist(),
            total=asked.tolist(),
            mean=interval.mean,
            ci95=interval.half_width,
            training=summary,
            environment=self._environment,
            timings={"training": seconds, "evaluation": time.monotonic() - started},
        )
        self._store.write(record)
        self._progress.line(
            f"{cell.label}, {identity.source}, {cell.episode_set.protocol}: "
            f"{interval.mean:.2f} ± {interval.half_width:.2f}"
        )
        return record

    def _build(self, name: str, params: Mapping[str, object], training: Training) -> Method:
        """A method with the initial weights of a training's seed, on the device."""
        suite = self._suite
        make_backbone = functools.partial(
            build_backbone,
            suite.backbone.name,
            channels=suite.images.channels,
            size=suite.images.size,
            width=suite.backbone.width,
        )
        classes = sum(len(self._columns.packs[source].splits["train"]) for source in training.sources)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.schedule.seed)
            method = self._methods[name](make_backbone, classes, **params)
        return method.to(self._device).to(memory_format=torch.channels_last)

    def _checkpoint(self, training: Training) -> Path:
        return self._checkpoints / f"{training.name}.safetensors"
