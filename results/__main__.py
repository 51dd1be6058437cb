"""Makes the committed tables again: `python -m results` in the top folder of a clone.

One run after the other takes all cores, in order of value: all tables with one training seed, then with three. What is
finished is used again, and a training that was stopped goes on, so the command may be ended and started at any time.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click

from fsbench.errors import FsbenchError, unknown
from fsbench.files.atomic import canonical_json
from fsbench.forecast.outlook import look_ahead
from fsbench.identity import CellIdentity
from fsbench.report.reading import records_of
from fsbench.run.cells import Training
from fsbench.run.frozen import Untrained
from fsbench.run.options import Options
from fsbench.suite_files import load_suite

_FOLDER = Path(__file__).parent


class _Work(NamedTuple):
    """One run towards a table, whose folder is that of its suite, or lies in it."""

    table: str
    options: Options

    def __str__(self) -> str:
        drawn = "" if self.options.protocol == "fixed" else f", protocol {self.options.protocol}"
        return f"{self.table}{drawn}, seeds {self.options.seeds}"

    @property
    def suite(self) -> str:
        """The name of a suite of fsbench, or the file of one that is defined here."""
        name = self.table.partition("/")[0]
        own = _FOLDER / f"{name}.toml"
        return str(own) if own.exists() else name

    def cells(self) -> tuple[int, int]:
        """How many cells are not recorded yet, and how many there are."""
        planned = look_ahead(load_suite(self.suite), self.options).cells
        wanted = {_key(cell.identity, _steps(cell.training)) for cell in planned}
        records = _FOLDER / self.table / "records"
        kept = records_of(records) if records.is_dir() else []
        found = {_key(record.identity, record.training.planned_steps) for record in kept}
        return len(wanted - found), len(wanted)

    def run(self, data_root: str | None) -> None:
        """Carry it out, as `fsbench run` does, and make the table of all that the folder holds."""
        folder, options = str(_FOLDER / self.table), self.options
        words = ["run", "--suite", self.suite, "--protocol", options.protocol, "--seeds", str(options.seeds)]
        words += ["--methods", ",".join(options.rows)] if options.rows else []
        words += ["--data-root", data_root] if data_root else []
        _call(*words, "--out", folder)
        _call("table", folder)


_TABLES = {
    "miniimagenet": [Options()],
    "omniglot": [Options()],
    "frozen": [Options()],
    "frozen/k-shot": [Options(rows=("simpleshot-frozen", "ridge-frozen"), protocol="k-shot")],
    "glyphs": [Options()],
    "glyphs-all": [Options()],
    "metadataset-ilsvrc": [Options(), Options(protocol="variable")],
    "metadataset-five": [Options()],
    "metadataset-all": [Options()],
    "omniglot-20way": [Options()],
}
_WORK = [
    _Work(table, replace(options, seeds=seeds))
    for seeds in (1, 3)
    for table, runs in _TABLES.items()
    for options in runs
    if seeds == 1 or table != "glyphs"
]


def _call(*words: str) -> None:
    """Call fsbench, and end as it does if it fails; it has said why."""
    click.echo(f"fsbench {' '.join(words)}")
    if code := subprocess.run([sys.executable, "-m", "fsbench", *words], check=False).returncode:
        raise click.exceptions.Exit(code)


def _steps(training: Training | Untrained) -> int:
    return training.schedule.steps if isinstance(training, Training) else 0


def _key(identity: CellIdentity, steps: int) -> str:
    """What a cell is, and how its model came about, whether or not its images are there."""
    of_model = ("row", "method_revision", "params", "backbone", "backbone_revision", "engine")
    of_run = ("images", "training_fraction", "train_seed", "deterministic", "initialised_from")
    of_episodes = ("source", "split", "way", "shot", "queries", "episode_seed", "sampler")
    parts = {part: getattr(identity, part) for part in (*of_model, *of_run, *of_episodes)}
    return canonical_json({**parts, "steps": steps}).decode()


@click.command()
@click.argument("tables", nargs=-1)
@click.option("--left", is_flag=True, help="Only say what there is to do.")
@click.option("--data-root", help="Folder of the sources' folders; as of `fsbench run`.")
def main(tables: tuple[str, ...], left: bool, data_root: str | None) -> None:
    """Make the committed tables again, all or some: miniimagenet, omniglot, ...

    A table that cannot be made from the images at hand is named and left out; the exit code is then 2.
    """
    if others := sorted(set(tables) - set(_TABLES)):
        raise click.UsageError(str(unknown("table", others[0], _TABLES)))
    refused = False
    for work in (work for work in _WORK if not tables or work.table in tables):
        try:
            missing, cells = work.cells()
        except FsbenchError as error:
            refused = True
            click.echo(f"{work}: cannot be made here: {error}", err=True)
            continue
        click.echo(f"{work}: {missing} of {cells} cells are left")
        if not left:  # even if no cell seems to be missing: a run knows the images and the recipes, too
            work.run(data_root)
    if refused:
        raise click.exceptions.Exit(click.UsageError.exit_code)


if __name__ == "__main__":
    main()
