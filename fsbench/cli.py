"""The command line: it parses, calls, and turns mistakes into one sentence and exit code 2."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fsbench import __version__
from fsbench.data.commands import data
from fsbench.errors import FsbenchError
from fsbench.forecast.commands import plan
from fsbench.methods.commands import check
from fsbench.report.comparison import compare
from fsbench.report.everything import report
from fsbench.report.published import reported
from fsbench.report.rank import rank
from fsbench.selection import PROTOCOL, selects_cells

if TYPE_CHECKING:
    from fsbench.plan import Options
    from fsbench.report.table import RankRule, Table
    from fsbench.suite import Suite

__all__ = ["main"]

_RANKS = click.option(
    "--ranks",
    "rule",
    type=click.Choice(["metadataset", "paired"]),
    default="metadataset",
    show_default=True,
    help="Rule of the ranks: Meta-Dataset's, or paired differences.",
)
_CELL_RANKS = click.option("--cell-ranks", is_flag=True, help="Show ranks in every cell of a table of several sources.")


class _Group(click.Group):
    """A group whose commands end in one sentence when their reader can mend what went wrong, or has stopped them."""

    def invoke(self, ctx: click.Context) -> Any:
        former = signal.signal(signal.SIGTERM, _interrupt)  # so that nothing half-written is left
        try:
            return super().invoke(ctx)
        except FsbenchError as error:
            raise click.UsageError(str(error)) from error
        except KeyboardInterrupt as stop:
            click.echo("\nInterrupted; what is finished is kept: run the same command again to go on.", err=True)
            ctx.exit(128 + (stop.args[0] if stop.args else signal.SIGINT))
        finally:
            signal.signal(signal.SIGTERM, former)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fsbench")
def main() -> None:
    """A benchmark suite for few-shot image classification."""


@main.command()
@selects_cells
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--episodes-file", type=click.Path(path_type=Path), help="Test on these exported episodes only.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default runs/<suite>.")
@click.option("--fresh", is_flag=True, help="Start over instead of using what is finished.")
@click.option(
    "--executor",
    type=click.Choice(["local", "processes", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done: in this process, in several, or on a Ray cluster.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default one a GPU, or one a core.")
@click.option("--address", help="Of the Ray cluster; default the one that this machine belongs to, or a new one.")
@_RANKS
@_CELL_RANKS
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

    What is finished in the out folder and still comparable is used again.
    """
    from fsbench.episode_files import read_episodes

    file = read_episodes(episodes_file) if episodes_file else None
    from fsbench.executors import make_executor
    from fsbench.run import run_suite
    from fsbench.worker import Order

    folder = out or Path("runs") / suite.name
    table = run_suite(
        Order(suite, options, folder, device, data_root, file),
        executor=make_executor(executor, workers=workers, address=address),
        fresh=fresh,
        rule=rule,
        ranks=cell_ranks,
    )
    _show(table, folder, ranks=cell_ranks)


@main.command("table")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_RANKS
@_CELL_RANKS
def table_(folder: Path, rule: RankRule, cell_ranks: bool) -> None:
    """Make the table of all records in FOLDER again, e.g. after several runs of parts of a suite."""
    from fsbench.report.files import records_in, write_reports

    table = write_reports(records_in(folder / "records"), folder, rule=rule, ranks=cell_ranks)
    _show(table, folder, ranks=cell_ranks)


@main.group()
def episodes() -> None:
    """Episodes as files."""


@episodes.command()
@click.argument("suite_name", metavar="SUITE")
@click.option("--source", help="Test source; default the suite's first.")
@PROTOCOL
@click.option("--way", type=click.IntRange(min=2), default=5, show_default=True, help="Classes per episode.")
@click.option("--shot", type=click.IntRange(min=1), default=1, show_default=True, help="Support images per class.")
@click.option("--episodes", "number", type=click.IntRange(min=2), help="How many; default as the suite says.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the sources' folders.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.npz or FILE.json.")
def export(
    suite_name: str,
    source: str | None,
    protocol: str,
    way: int,
    shot: int,
    number: int | None,
    data_root: Path | None,
    out: Path,
) -> None:
    """Write a suite's test episodes as indices and image names, for any other codebase to run."""
    from fsbench.data.prepare import ensure_pack
    from fsbench.episode_files import EpisodeFile, write_episodes
    from fsbench.episodes import Protocol
    from fsbench.errors import unknown
    from fsbench.samplers import AnyProtocol, Sampler
    from fsbench.suite import check_number, load_suite
    from fsbench.variable import VariableProtocol

    check_number(number)
    suite = load_suite(suite_name)
    chosen = source or suite.sources.test[0]
    if chosen not in suite.sources.test:
        raise unknown(f"test source of the suite {suite.name}", chosen, suite.sources.test)
    wanted = suite.episodes
    count = number or wanted.number
    drawn_as: AnyProtocol = VariableProtocol("test", count, wanted.seed)
    if protocol == "fixed":
        drawn_as = Protocol("test", way, shot, wanted.queries, count, wanted.seed)
    pack = ensure_pack(chosen, size=suite.images.size, data_root=data_root, report=_say)
    sampler = Sampler(pack, drawn_as, wanted.rules)
    drawn = sampler.draw()
    write_episodes(out, EpisodeFile(chosen, pack.digest, drawn_as, sampler.version, drawn), pack)
    click.echo(f"{len(drawn)} episodes of {chosen}, {drawn_as}, episode set {drawn.digest[:12]}, in {out}")


@main.command()
def methods() -> None:
    """List the methods, those of installed packages too, one line each."""
    from fsbench.methods import METHODS, load_method, plugins

    found = {info.name: info.summary for info in METHODS}
    for name, point in plugins().items():
        try:
            found[name] = f"{load_method(name).label} of {point.value}"
        except FsbenchError as error:
            _say(f"Warning: {error}")
    width = max(map(len, found))
    for name, summary in found.items():
        click.echo(f"{name:{width}}  {summary}")


@main.command()
def suites() -> None:
    """List the suites, one line each."""
    from fsbench.suite import list_suites

    found = list_suites()
    width = max(len(suite.name) for suite in found)
    for suite in found:
        click.echo(f"{suite.name:{width}}  {suite.title}")


main.add_command(check)
main.add_command(compare)
main.add_command(data)
main.add_command(plan)
main.add_command(rank)
main.add_command(report)
main.add_command(reported)


def _show(table: Table, folder: Path, *, ranks: bool) -> None:
    """Print a table: as it looks on a terminal, as Markdown elsewhere."""
    from fsbench.report.markdown import to_markdown

    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(to_markdown(table, notes=False, ranks=ranks, published=True)))
    else:
        click.echo(to_markdown(table, ranks=ranks, published=True))
    _say(f"What the figures mean and every file of the table: {folder}")


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def _say(line: str) -> None:
    click.echo(line, err=True)
