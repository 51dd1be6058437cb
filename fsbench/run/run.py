"""Carries out a plan: looks what is finished, has the rest done, writes records and tables."""

from __future__ import annotations

import logging

from fsbench.engine.devices import cost_of_determinism, pick_device
from fsbench.errors import ExecutorError, RecordError, UsageError
from fsbench.files.atomic import make_folder
from fsbench.identity import cell_id
from fsbench.progress import open_progress
from fsbench.provenance import SUITE_FILE, SuiteOrder, SuiteRow, read_suite_order, write_suite_order
from fsbench.record_files import record_files
from fsbench.records import Record
from fsbench.report.table import RankRule, Table
from fsbench.report.write import REPORT, write_page, write_reports
from fsbench.run.buildable import check_models
from fsbench.run.executors import Executor
from fsbench.run.order import Order, Run
from fsbench.suite import Suite

__all__ = ["run_suite"]

_LOG = logging.getLogger("fsbench")


def run_suite(
    order: Order,
    *,
    executor: Executor,
    fresh: bool = False,
    rule: RankRule = "metadataset",
    cell_ranks: bool = False,
) -> Table:
    """Carry out an order and write `suite.json`, `records/`, the tables and, in `report/`, the page.

    What is finished and has the same identity is used again; a training that was stopped goes on. What other settings
    gave for the same cells stays beside the records under other names, once these cells are measured.

    Args:
        order: What to do.
        executor: Where to do it.
        fresh: Start over: remove the records of this plan first, and the checkpoints of all trainings that it needs.
        rule: Of the ranks, as in `fsbench.report.arrange.build_table`.
        cell_ranks: Show the rank in every cell of a table of several sources.

    Raises:
        FsbenchError: Any error that the user can fix; what was finished is kept.
    """
    make_folder(order.out)
    if executor.here:
        device = pick_device(order.device)
        if order.options.deterministic:
            _LOG.info(cost_of_determinism(device))
    run = Run(order)
    before = _suite_before(order)
    finished = {} if fresh else {cell_id(c.identity): record for c in run.plan if (record := run.finished(c))}
    missing = [cell for cell in run.plan if cell_id(cell.identity) not in finished]
    check_models(run, missing)
    if fresh:
        run.forget()
    described = before is None
    if described:  # else what lies there stays what it says until there is something new
        _write_suite(order, before)
    records: dict[str, Record] = dict(finished)
    with open_progress(len(run.plan), live=executor.here) as progress:
        for _ in finished:
            progress.advance()
        for cell in executor.carry_out(run, missing, progress):
            if (record := run.finished(cell)) is None:
                raise ExecutorError(
                    f"a process finished {cell.label} on {cell.identity.source}, but its record is not in {order.out}; "
                    "give --out a folder that all nodes share."
                )
            records[cell_id(cell.identity)] = record
            if not described:
                _write_suite(order, before)
                described = True
            progress.advance()
    if not described:
        _write_suite(order, before)
    if superseded := run.supersede():
        _LOG.info(
            "%d records in %s are of the same cells with other settings; their names end with .superseded now.",
            superseded,
            run.store.folder,
        )
    measured = [records[cell_id(cell.identity)] for cell in run.plan]
    table = write_reports(measured, order.out, rule=rule, cell_ranks=cell_ranks)
    write_page({order.suite.name: table}, order.out / REPORT, cell_ranks=cell_ranks)
    if others := len(record_files(order.out)) - len(run.plan):
        _LOG.info(
            "Records beside those of this run in %s: %d. fsbench table %s makes one table of all.",
            order.out,
            others,
            order.out,
        )
    return table


def _suite_before(order: Order) -> SuiteOrder | None:
    """The suite that lies beside the records; None: there is none that can be read.

    Raises:
        UsageError: It is another one.
    """
    try:
        before = read_suite_order(order.out)
    except RecordError as error:
        _LOG.warning(f"{error} It is replaced.")
        return None
    if before is not None and before.name != order.suite.name:
        raise UsageError(
            f"{order.out} holds a run of the suite {before.name}, not of {order.suite.name}; give another --out."
        )
    return before


def _write_suite(order: Order, before: SuiteOrder | None) -> None:
    """Write the suite beside the records; one that changed since is replaced, and that is said."""
    current = _order_of(order.suite)
    if before is not None and before != current:
        _LOG.warning(f"{order.out / SUITE_FILE} holds another version of the suite {current.name}; it is replaced.")
    if before != current:
        write_suite_order(order.out, current)


def _order_of(suite: Suite) -> SuiteOrder:
    return SuiteOrder(
        name=suite.name,
        title=suite.title,
        rows=tuple(SuiteRow(row=name, label=row.label) for name, row in suite.methods.items()),
        sources=tuple(suite.sources.test),
        shots=tuple(suite.episodes.shots),
        suite=suite.model_dump(mode="json", exclude=None if suite.backbones else {"backbones"}),
    )
