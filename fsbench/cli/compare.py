"""`fsbench compare`: whether a run is worse than the one that is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fsbench.errors import OutputError
from fsbench.files.atomic import write_atomic

__all__ = [
    "compare",
]

_STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("base", type=_FOLDER)
@click.argument("new", type=_FOLDER)
@click.option("--margin", type=float, default=0.5, show_default=True, help="Percentage points that a cell may lose.")
@click.option("--strict", is_flag=True, help="Inconclusive cells fail, too.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write everything as JSON.")
@click.option("--junit", "junit_file", type=_FILE, metavar="FILE", help="Write a JUnit test case for every cell.")
@click.option(
    "--summary",
    "summary_file",
    type=_FILE,
    metavar="FILE",
    envvar=_STEP_SUMMARY,
    show_envvar=True,
    help="Write Markdown; the file that the variable names is appended to.",
)
@click.pass_context
def compare(
    ctx: click.Context,
    base: Path,
    new: Path,
    margin: float,
    strict: bool,
    json_file: Path | None,
    junit_file: Path | None,
    summary_file: Path | None,
) -> None:
    """Compare two runs, cell by cell.

    The records of the folder NEW are compared with those of BASE.

    A cell passes if the 95 % confidence interval of the paired difference NEW - BASE lies above -MARGIN. It has
    regressed if the interval lies below 0, the difference below -MARGIN/2, and it is significant after Holm's
    correction over all cells. Otherwise it is suspect if the difference lies below -MARGIN, and inconclusive if not.

    Exit codes: 0 none of the following, 1 a cell regressed, 2 usage, 3 a cell is not comparable, 4 a cell of BASE is
    missing or a record is damaged, 5 a cell is missing because its images were, 6 a cell is suspect. If several
    apply, the lowest. 70 is a bug in fsbench, which says nothing of the records.
    """
    from fsbench import compare as verdict
    from fsbench.report.comparison import to_summary, to_text
    from fsbench.report.json import comparison_to_json
    from fsbench.report.junit import to_junit

    comparison = verdict.compare(base, new, margin=margin, strict=strict)
    click.echo(to_text(comparison))
    if json_file:
        write_atomic(json_file, comparison_to_json(comparison))
    if junit_file:
        write_atomic(junit_file, to_junit(comparison))
    if summary_file and str(summary_file) == os.environ.get(_STEP_SUMMARY):
        _append(summary_file, to_summary(comparison))
    elif summary_file:
        write_atomic(summary_file, to_summary(comparison))
    ctx.exit(comparison.exit_code)


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another file with --summary.") from error
