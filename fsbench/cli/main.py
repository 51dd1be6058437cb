"""The command line: it parses, calls, and turns mistakes into one sentence and exit code 2."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, NoReturn

import click

from fsbench import __version__
from fsbench.cli.check import check
from fsbench.cli.compare import compare
from fsbench.cli.data import data
from fsbench.cli.episodes import episodes
from fsbench.cli.methods import methods
from fsbench.cli.plan import plan
from fsbench.cli.rank import rank
from fsbench.cli.report import report
from fsbench.cli.reported import reported
from fsbench.cli.run import run
from fsbench.cli.suites import suites
from fsbench.cli.table import table
from fsbench.errors import FsbenchError
from fsbench.progress import printed_log

__all__ = ["main"]


class _Group(click.Group):
    """A group whose commands end in one sentence when their reader can mend what went wrong, or has stopped them."""

    def invoke(self, ctx: click.Context) -> Any:
        former = signal.signal(signal.SIGTERM, _interrupt)  # so that nothing half-written is left
        try:
            with printed_log():
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


for _command in (check, compare, data, episodes, methods, plan, rank, report, reported, run, suites, table):
    main.add_command(_command)


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)
