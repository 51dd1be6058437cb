"""`fsbench plan`: what a run would do, and what it would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fsbench.cli.options import selects_cells

if TYPE_CHECKING:
    from fsbench.run.options import Options
    from fsbench.suite import Suite

__all__ = [
    "plan",
]


@click.command()
@selects_cells
@click.option("--cost", "with_cost", is_flag=True, help="Measure this machine and compute what the run would take.")
@click.option("--device", default="auto", show_default=True, help="What to measure: auto, cpu or cuda.")
def plan(suite: Suite, options: Options, with_cost: bool, device: str) -> None:
    """Print what a run would do and take.

    It takes those options of `fsbench run` that say what is measured, prints Markdown, and needs no images.

    With --cost, a few of its training steps, embeddings and episodes are timed on random images, and the plan is
    multiplied out: hours of every row, of all, and on several devices.
    """
    from fsbench.forecast.markdown import cost_to_markdown, outlook_to_markdown
    from fsbench.forecast.outlook import look_ahead

    if not with_cost:
        click.echo(outlook_to_markdown(look_ahead(suite, options)))
        return
    from fsbench.engine.devices import pick_device, tune_process
    from fsbench.engine.precision import pick_precision
    from fsbench.forecast.cost import cost_of
    from fsbench.forecast.speeds import MeasuredSpeeds
    from fsbench.progress import open_counter

    chosen = pick_device(device)
    tune_process(deterministic=options.deterministic, one_shape=not options.variable)
    outlook = look_ahead(suite, options)
    click.echo(outlook_to_markdown(outlook) + "\n")
    click.echo("Measuring; with large images on a CPU this takes minutes.", err=True)
    precision = pick_precision(options.precision, chosen, deterministic=options.deterministic)
    speeds = MeasuredSpeeds(outlook, chosen, precision)
    with open_counter("trainings and cells", len(outlook.trainings) + len(outlook.cells)) as watcher:
        cost = cost_of(outlook, speeds, watcher)
    click.echo(cost_to_markdown(outlook, speeds, chosen, cost))
