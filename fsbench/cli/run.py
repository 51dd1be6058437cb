"""`fsbench run`: train, evaluate and print the table of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsbench.cli.options import selects_cells
from fsbench.cli.table import CELL_RANKS, RANKS, show

if TYPE_CHECKING:
    from fsbench.report.table import RankRule
    from fsbench.run.options import Options
    from fsbench.suite import Suite

__all__ = ["run"]


@click.command()
@selects_cells
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--episodes-file", type=click.Path(path_type=Path), help="Test on these exported episodes only.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default runs/<suite>.")
@click.option("--fresh", is_flag=True, help="Start over instead of using what is finished.")
@click.option(
    "--executor",
    type=click.Choice(["local", "processes", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Where the work is done: in this process, in several, on a Ray cluster, or as jobs of Slurm.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes, one a GPU or core by default; or jobs in Slurm's queue, all by default.",
)
@click.option("--address", help="Of the Ray cluster; default the one that this machine belongs to, or a new one.")
@RANKS
@CELL_RANKS
def run(
    suite: Suite,
    options: Options,
    device: str,
    data_root: Path | None,
    episodes_file: Path | None,
    out: Path | None,
    fresh: bool,
    executor: str,
    workers: int | None,
    address: str | None,
    rule: RankRule,
    cell_ranks: bool,
) -> None:
    """Train, evaluate and print the table of a suite.

    Finished work in the out folder that is still comparable is used again; a stopped training resumes.
    """
    from fsbench.episodes.files import read_episodes

    file = read_episodes(episodes_file) if episodes_file else None
    from fsbench.engine.devices import tune_process
    from fsbench.report.write import REPORT
    from fsbench.run.executors import make_executor
    from fsbench.run.order import Order
    from fsbench.run.run import run_suite

    folder = out or Path("runs") / suite.name
    tune_process(deterministic=options.deterministic, one_shape=not options.variable)
    table = run_suite(
        Order(suite, options, folder, device, data_root, file),
        executor=make_executor(executor, workers=workers, address=address),
        fresh=fresh,
        rule=rule,
        cell_ranks=cell_ranks,
    )
    show(table, cell_ranks=cell_ranks)
    page = folder / REPORT / "index.html"
    click.echo(f"Every file of the table: {folder}; the page: {page} (fsbench report {folder} adds plots).", err=True)
