"""`fsbench compare`: whether a run is worse than the one that is trusted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsbench.errors import OutputError
from fsbench.files import write_atomic

if TYPE_CHECKING:
    from fsbench.compare import Comparison, Finding

__all__ = ["compare", "conclusion", "to_summary", "to_text"]

_STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_HEADS = ("cell", "base", "new", "new − base", "over", "verdict")
_QUIET = ("pass", "identical", "added")
_LEGEND = (
    "The difference is paired, in percentage points, with its 95 % confidence interval, which lies above −{margin:g} "
    "where a cell passes. Over episodes it does not cover the noise of another training; over training seeds it does."
)
_OPENINGS = {0: "No regression", 1: "Regression", 3: "Not comparable", 4: "Incomplete", 5: "Data missing"}


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
    """Compare the records of the folder NEW with those of BASE, cell by cell.

    A cell passes if the 95 % confidence interval of the paired difference NEW - BASE lies above -MARGIN. It has
    regressed if the interval lies below 0, the difference below -MARGIN/2, and it is significant after Holm's
    correction over all cells. Otherwise it is inconclusive.

    Exit codes: 0 no cell regressed, 1 a cell did, 2 usage, 3 a cell is not comparable, 4 a cell of BASE is missing or
    a record damaged, 5 a cell is missing because its source's images were. Of several the lowest.
    """
    from fsbench import compare as verdict
    from fsbench.report.junit import to_junit
    from fsbench.report.structured import comparison_to_json

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


def to_text(comparison: Comparison) -> str:
    """A table of all cells, why cells are not compared or have changed otherwise, and the conclusion."""
    from tabulate import tabulate

    lines = [[_printable(text) for text in _line(finding)] for finding in comparison.findings]
    alignment = ("left", "right", "right", "right", "left", "left")
    table = tabulate(lines, _HEADS, tablefmt="simple", colalign=alignment, disable_numparse=True)
    reasons = [_printable(f"{finding.subject}: {finding.reason}") for finding in comparison.findings if finding.reason]
    return "\n\n".join(filter(None, [table, "\n".join(reasons), conclusion(comparison)]))


def to_summary(comparison: Comparison) -> str:
    """The same as Markdown: what deserves a look first, and the rest folded away."""
    quiet = [finding for finding in comparison.findings if finding.verdict in _QUIET]
    loud = [finding for finding in comparison.findings if finding.verdict not in _QUIET]
    parts = [f"## {conclusion(comparison)}", _LEGEND.format(margin=comparison.margin)]
    if loud:
        parts.append(_pipe_table(loud))
    if quiet:
        parts += [f"<details><summary>{len(quiet)} without a finding</summary>", _pipe_table(quiet), "</details>"]
    return "\n\n".join(parts) + "\n"


def conclusion(comparison: Comparison) -> str:
    """How the comparison ends, in one sentence."""
    counts = Counter(finding.verdict for finding in comparison.findings)
    opening = _OPENINGS[comparison.exit_code]
    if comparison.exit_code == 1 and not counts["regressed"]:
        opening = "Inconclusive"
    return f"{opening}: {', '.join(f'{times} {verdict}' for verdict, times in counts.items())}."


def _line(finding: Finding) -> list[str]:
    """A finding's texts below `_HEADS`."""
    base, new = ("" if mean is None else f"{mean:.2f}" for mean in (finding.base, finding.new))
    return [finding.subject, base, new, finding.change, finding.over, finding.verdict]


def _printable(text: str) -> str:
    """Text that stays on its line and sends a terminal nothing but signs."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def _pipe_table(findings: Iterable[Finding]) -> str:
    from fsbench.report.markdown import escape, pipe_table

    rows = [[escape(text) for text in (*_line(finding), finding.reason)] for finding in findings]
    return pipe_table([*_HEADS, "note"], rows, ("left", "right", "right", "right", "left", "left", "left"))


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another file with --summary.") from error
