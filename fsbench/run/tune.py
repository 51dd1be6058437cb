"""Values of hyper-parameters beside each other on validation classes, for the suite to fix one."""

from __future__ import annotations

import itertools
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fsbench.episodes.protocol import AnyProtocol
from fsbench.errors import EpisodeError, SuiteError, TrainingError, UsageError
from fsbench.methods.registry import check_row, load_method
from fsbench.progress import Progress, open_progress
from fsbench.recipe import UNTRAINED, VARIABLE, Row, at_shot
from fsbench.record_files import RecordStore
from fsbench.records import Record
from fsbench.run.buildable import check_models
from fsbench.run.cells import Cell
from fsbench.run.jobs import by_training
from fsbench.run.leakage import validates_on_tested
from fsbench.run.options import selected_rows
from fsbench.run.order import Order, Run
from fsbench.run.worker import Worker
from fsbench.stats.intervals import Interval, mean_ci
from fsbench.suite import Suite

__all__ = ["Tried", "try_values"]

_LOG = logging.getLogger("fsbench")


@dataclass(frozen=True)
class Tried:
    """What a row achieves with several values of its hyper-parameters on the same validation episodes.

    Attributes:
        row: Its name.
        values: The values of every candidate, by the names of the hyper-parameters.
        protocols: Of the episodes.
        sources: Of the episodes.
        accuracies: Percent, `[candidate][protocol][source]`; None where a candidate diverges.
    """

    row: str
    values: Sequence[Mapping[str, Any]]
    protocols: Sequence[AnyProtocol]
    sources: Sequence[str]
    accuracies: Sequence[Sequence[Sequence[Interval | None]]]

    def mean(self, candidate: int, protocol: int) -> float:
        """The mean of the sources, which count equally, percent; NaN where the candidate diverges on one."""
        found = self.accuracies[candidate][protocol]
        return float(np.mean([math.nan if each is None else each.mean for each in found]))

    def best(self, protocol: int) -> int:
        """The candidate with the highest mean; of equal ones the first.

        Raises:
            TrainingError: All diverge.
        """
        means = {number: self.mean(number, protocol) for number in range(len(self.values))}
        finite = {number: mean for number, mean in means.items() if math.isfinite(mean)}
        if not finite:
            raise TrainingError(f"{self.row} diverges with every value at {self.protocols[protocol]}; try others.")
        return max(finite, key=finite.__getitem__)

    def chosen(self, params: Mapping[str, Any], shots: Sequence[int]) -> dict[str, Any]:
        """The row's hyper-parameters with the best of the values, for every shot if these differ.

        Args:
            params: The row's, as the suite has them; they stay the values of shots that were not tried.
            shots: Those of the suite.

        Raises:
            TrainingError: All candidates diverge at a shot.
        """
        winners = [self.values[self.best(number)] for number in range(len(self.protocols))]
        changed = dict(params)
        for name in self.values[0]:
            best = {
                VARIABLE if protocol.shot is None else str(protocol.shot): at_shot(values[name], protocol.shot, name)
                for protocol, values in zip(self.protocols, winners, strict=True)
            }
            changed[name] = _merged(params.get(name, {}), best, [str(shot) for shot in shots])
        return changed


def try_values(order: Order, tried: Mapping[str, Sequence[Any]]) -> list[Tried]:
    """Measure rows with several values of their hyper-parameters on the validation classes of the test sources.

    No image of a test class is looked at, and no record is kept. Test sources that are not there or have no validation
    classes are left out, and so are those whose validation classes are test classes of another. A candidate that
    diverges is reported and skipped.

    Args:
        order: The suite, and in its options the rows. A training that they share is done first, as by a run.
        tried: The values of every hyper-parameter; every combination of them is a candidate.

    Raises:
        UsageError: No row is named, or one has no such hyper-parameter.
        SuiteError: A row is trained with its hyper-parameters, or there is one validation episode only.
        EpisodeError: No source has validation classes for such episodes.
        TrainingError: A training that candidates share diverges.
        FsbenchError: Any other error that the user can fix.
    """
    suite, options = order.suite, order.options
    if not options.rows:
        raise UsageError("no row is named whose hyper-parameters are to be tried; name it with --methods.")
    if (options.episodes or suite.validation.number) < 2:
        raise SuiteError("validation.number is 1, and one episode has no interval; raise it, or use --episodes.")
    rows = selected_rows(suite, options)
    values = [dict(zip(tried, each, strict=True)) for each in itertools.product(*tried.values())]
    candidates = {_called(row, number): _with(suite, row, each) for row in rows for number, each in enumerate(values)}
    changed = suite.model_copy(update={"methods": suite.methods | candidates})
    wanted = replace(options, rows=tuple(candidates), split="val")
    run = Run(replace(order, suite=changed, options=wanted, every_test=False))
    found = _measured(run, _clean(run))
    sources = list(dict.fromkeys(source for _, _, source in found))
    protocols = list(dict.fromkeys(protocol for _, protocol, _ in found))
    return [
        Tried(
            row,
            values,
            protocols,
            sources,
            [
                [
                    [_interval(found[_called(row, number), protocol, source]) for source in sources]
                    for protocol in protocols
                ]
                for number in range(len(values))
            ],
        )
        for row in rows
    ]


def _merged(own: Any, best: Mapping[str, Any], shots: Sequence[str]) -> Any:
    """A row's value, or its table from shot to value, with the best ones of the shots that were tried."""
    by_shot = isinstance(own, dict)
    kept = own if by_shot else dict.fromkeys([*shots, VARIABLE], own)  # a single value is that of variable shots too
    first, *others = best.values()
    whole = best.keys() >= {*shots, *(own if by_shot else ())}
    return first if whole and all(value == first for value in others) else {**kept, **best}


def _called(row: str, number: int) -> str:
    """The name of a candidate's row, which no row of a suite can have."""
    return f"{row}.{number}"


def _with(suite: Suite, name: str, values: Mapping[str, Any]) -> Row:
    """A row with other hyper-parameters.

    Raises:
        UsageError: It has no such hyper-parameter.
        SuiteError: It is trained with them.
    """
    row = suite.methods[name]
    if row.training != UNTRAINED and suite.trained_as(name) == name:
        raise SuiteError(
            f"methods.{name} is trained with its hyper-parameters, and every value would be a training of its own; try "
            "them in a row that shares the training of another one, or has none."
        )
    method = load_method(row.method, suite.folder)
    said = ", ".join(f"{key} = {value}" for key, value in values.items())
    changed = row.model_copy(
        update={"params": {**row.params, **values}, "label": f"{row.label or method.label} ({said})"[:100]}
    )
    check_row(name, changed, method)
    return changed


def _clean(run: Run) -> list[Cell]:
    """The cells of the plan, but for the sources whose validation classes are test classes of another one.

    Raises:
        EpisodeError: None is left.
    """
    packs, tested = run.material.packs, run.order.suite.sources.test
    reasons = {
        source: reason
        for source in dict(run.material.episode_sets)
        if (reason := validates_on_tested(packs[source], [packs[other] for other in tested if other in packs]))
    }
    for source, reason in reasons.items():
        _LOG.warning("%s is left out: %s.", source, reason)
    if unknown := [source for source in tested if source not in packs]:
        _LOG.warning("Not checked: whether validation classes are test classes of %s.", ", ".join(unknown))
    cells = [cell for cell in run.plan if cell.identity.source not in reasons]
    if not cells:
        raise EpisodeError(
            f"no source of the suite {run.order.suite.name} has validation classes that are not tested; take the "
            "values of a paper or the defaults of a library."
        )
    return cells


def _measured(run: Run, cells: Sequence[Cell]) -> dict[tuple[str, AnyProtocol, str], list[Record | None]]:
    """What there is of every candidate's row, protocol and source, one a training seed; None where it diverges.

    Raises:
        TrainingError: A training diverges that candidates share: none of them is to blame, and none can be measured.
    """
    check_models(run, cells)
    found: dict[tuple[str, AnyProtocol, str], list[Record | None]] = {}
    with tempfile.TemporaryDirectory() as folder, open_progress(len(cells), live=True) as progress:
        run.store = RecordStore(Path(folder))
        worker = Worker(run)
        for training, of_sources in by_training(cells).values():
            worker.train(training, progress)
            for of_source in of_sources.values():
                _evaluate(run, worker, of_source, progress)
                for _ in of_source:
                    progress.advance()
        for cell in cells:
            key = (cell.identity.row, cell.episode_set.protocol, cell.identity.source)
            found.setdefault(key, []).append(run.finished(cell))
    return found


def _evaluate(run: Run, worker: Worker, cells: Sequence[Cell], progress: Progress) -> None:
    """Measure the cells of one model on one source; a candidate that diverges there is reported and skipped."""
    left = list(cells)
    while left:
        try:
            worker.evaluate(left, progress)
            return
        except TrainingError as error:  # of the first one that is not done; the others go on without it
            diverged, *left = [cell for cell in left if run.finished(cell) is None]
            _LOG.warning("%s, %s: %s", diverged.label, diverged.episode_set.protocol, error)


def _interval(records: Sequence[Record | None]) -> Interval | None:
    """The accuracy of some training seeds in the same episodes, percent; None if one diverges."""
    whole = [100 * np.array(each.correct) / np.array(each.total) for each in records if each is not None]
    return mean_ci(np.mean(whole, axis=0)) if len(whole) == len(records) else None
