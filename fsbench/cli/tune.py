"""`fsbench tune`: hyper-parameters beside each other on validation classes."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsbench.cli.options import selects_cells

if TYPE_CHECKING:
    from fsbench.run.options import Options
    from fsbench.run.tune import Tried
    from fsbench.stats.intervals import Interval
    from fsbench.suite import Suite

__all__ = ["tune"]


class _Values(click.ParamType[tuple[str, list[Any]]]):
    """A name and values as a suite would write them, comma-separated."""

    name = "values"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, list[Any]]:
        name, equals, text = value.partition("=")
        try:
            values = tomllib.loads(f"values = [{text}]")["values"] if name and equals else []
        except tomllib.TOMLDecodeError:
            values = []
        if not values:
            self.fail(f"{value!r} is not NAME=VALUE,VALUE,...", param, ctx)
        return name, values


@click.command()
@selects_cells
@click.option(
    "--try",
    "tried",
    type=_Values(),
    multiple=True,
    required=True,
    metavar="NAME=VALUE,...",
    help="A hyper-parameter and its values; repeat for every combination with those of others.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--out", type=click.Path(path_type=Path), help="Where trained models are; default runs/<suite>.")
def tune(
    suite: Suite,
    options: Options,
    tried: tuple[tuple[str, list[Any]], ...],
    device: str,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Try hyper-parameters on validation classes.

    Of the rows in --methods, which have no training of their own, on validation episodes of every test source that has
    them; no test class is touched. Nothing is changed or kept: fix the value in the suite.
    """
    from fsbench.engine.devices import tune_process
    from fsbench.errors import UsageError
    from fsbench.run.order import Order
    from fsbench.run.tune import try_values

    values = dict(tried)
    if len(values) < len(tried):
        raise UsageError("--try names a hyper-parameter twice; give all of its values at once.")
    tune_process(deterministic=options.deterministic, one_shape=not options.variable)
    order = Order(suite, options, out or Path("runs") / suite.name, device, data_root)
    for found in try_values(order, values):
        for block in _blocks(found, suite.methods[found.row].params, suite.episodes.shots):
            click.echo(f"{block}\n")


def _blocks(found: Tried, params: dict[str, Any], shots: Sequence[int]) -> Iterator[str]:
    """A table for every protocol, and what a suite would say."""
    from tabulate import tabulate

    names = [", ".join(f"{key} = {json.dumps(value)}" for key, value in each.items()) for each in found.values]
    for number, protocol in enumerate(found.protocols):
        lines = [
            [
                name,
                *map(_figure, found.accuracies[candidate][number]),
                "–" if math.isnan(mean := found.mean(candidate, number)) else f"{mean:.2f}",
            ]
            for candidate, name in enumerate(names)
        ]
        heads = ["", *found.sources, "mean"]
        table = tabulate(lines, heads, tablefmt="simple", disable_numparse=True, colglobalalign="left")
        yield f"{found.row}: {protocol}, {protocol.episodes} validation episodes a source\n{table}"
    yield f"The highest means, for [methods.{found.row}] of the suite:\nparams = {_toml(found.chosen(params, shots))}"


def _figure(accuracy: Interval | None) -> str:
    return "diverges" if accuracy is None else f"{accuracy.mean:.2f} ± {accuracy.half_width:.2f}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value)
