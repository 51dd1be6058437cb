"""The command line: it parses, calls, and turns mistakes into one sentence and exit code 2."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Any, Final, NoReturn

import click

from fsbench import __version__
from fsbench.cli.backbones import backbones
from fsbench.cli.check import check
from fsbench.cli.cite import cite
from fsbench.cli.compare import compare
from fsbench.cli.data import data
from fsbench.cli.doctor import doctor
from fsbench.cli.embed import embed
from fsbench.cli.episodes import episodes
from fsbench.cli.export import export
from fsbench.cli.leaderboard import leaderboard
from fsbench.cli.methods import methods
from fsbench.cli.plan import plan
from fsbench.cli.rank import rank
from fsbench.cli.report import report
from fsbench.cli.reported import reported
from fsbench.cli.run import run
from fsbench.cli.schema import schema
from fsbench.cli.suites import suites
from fsbench.cli.table import table
from fsbench.cli.tune import tune
from fsbench.cli.verify import verify
from fsbench.errors import FsbenchError
from fsbench.plugins import blaming_files
from fsbench.progress import printed_log
from fsbench.text import printable

__all__ = ["main"]

_NOBODY_READS: Final = 128 + 13  # SIGPIPE, as where there is such a signal
_FAULT: Final = (
    70  # EX_SOFTWARE of sysexits.h; Python's 1 is what `compare` says of a regression and `check` of a breach
)


_SECTIONS: Final = {
    "Run": (run, plan, embed, tune, doctor),
    "Results": (table, report, compare, rank, reported, cite, leaderboard, export, verify),
    "What there is": (suites, methods, backbones, data, episodes, schema),
    "Extend": (check,),
}


class _Group(click.Group):
    """A group whose commands end in one sentence for an error that the user can fix, and for an interrupt.

    What nobody expected ends with an exit code of its own.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # of whatever encoding; what it lacks is no reason to end
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        former = signal.signal(signal.SIGTERM, _interrupt)  # so that nothing half-written is left
        try:
            with printed_log(), blaming_files():
                return super().invoke(ctx)
        except FsbenchError as error:
            raise click.UsageError(str(error)) from error
        except KeyboardInterrupt as stop:
            again = "again without --fresh" if "--fresh" in sys.argv else "again"  # which would begin anew
            click.echo(f"\nInterrupted; run the same command {again}: it goes on from whatever was finished.", err=True)
            ctx.exit(128 + (stop.args[0] if stop.args else signal.SIGINT))
        except click.UsageError as error:
            params = [] if error.ctx is None else error.ctx.command.params
            taken = [option.name for option in params if isinstance(option, click.Option)]
            if "suite_name" in taken and "unexpected extra argument" in error.message:
                raise click.UsageError(f"{error.message}; a suite is named by --suite.", error.ctx) from error
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            # Nobody reads on, which click ends with 1; elsewhere that is a verdict.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(_NOBODY_READS)
        except (MemoryError, OSError) as error:
            raise click.UsageError(_refusal(error)) from error
        except Exception:
            traceback.print_exc()
            click.echo(
                f"\nThis is a bug in fsbench (exit code {_FAULT}), and says nothing of your results; please report it "
                "with the command and the lines above.",
                err=True,
            )
            ctx.exit(_FAULT)
        finally:
            signal.signal(signal.SIGTERM, former)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by purpose."""
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(command.name), command.get_short_help_str(80)) for command in commands])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fsbench")
def main() -> None:
    """A benchmark suite for few-shot image classification."""


for _section in _SECTIONS.values():
    for _command in _section:
        main.add_command(_command)


def _refusal(error: MemoryError | OSError) -> str:
    """A sentence about what the machine refused, and nobody has foreseen."""
    if isinstance(error, MemoryError):
        return "there is too little memory for that; ask for fewer or smaller images, episodes or tasks."
    return printable(f"the operating system reports an error ({error}); fix it and run again.")


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)
