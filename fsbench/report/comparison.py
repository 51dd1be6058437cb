"""A comparison of two runs, as text and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fsbench.text import printable

if TYPE_CHECKING:
    from fsbench.verdict import Comparison, Finding

__all__ = ["conclusion", "to_summary", "to_text"]

_HEADS = ("cell", "base", "new", "new − base", "over", "verdict")


_QUIET = ("pass", "identical", "added")


_LEGEND = (
    "The difference is paired, in percentage points, with its 95 % confidence interval, which lies above −{margin:g} "
    "where a cell passes. Over episodes it does not cover the noise of another training; over training seeds it does, "
    "and takes that noise from all cells."
)


_OPENINGS = {
    0: "No regression",
    1: "Regression",
    3: "Not comparable",
    4: "Incomplete",
    5: "Data missing",
    6: "Not settled",
}


def to_text(comparison: Comparison) -> str:
    """A table of all cells, why cells are not compared or have changed otherwise, and the conclusion."""
    from tabulate import tabulate

    lines = [[printable(text) for text in _line(finding)] for finding in comparison.findings]
    alignment = ("left", "right", "right", "right", "left", "left")
    table = tabulate(lines, _HEADS, tablefmt="simple", colalign=alignment, disable_numparse=True)
    reasons = [printable(f"{finding.subject}: {finding.reason}") for finding in comparison.findings if finding.reason]
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
    return f"{_OPENINGS[comparison.exit_code]}: {', '.join(f'{times} {verdict}' for verdict, times in counts.items())}."


def _line(finding: Finding) -> list[str]:
    """A finding's texts below `_HEADS`."""
    base, new = ("" if mean is None else f"{mean:.2f}" for mean in (finding.base, finding.new))
    return [finding.subject, base, new, finding.change, finding.over, finding.verdict]


def _pipe_table(findings: Iterable[Finding]) -> str:
    from fsbench.report.markdown import escape, pipe_table

    rows = [[escape(text) for text in (*_line(finding), finding.reason)] for finding in findings]
    return pipe_table([*_HEADS, "note"], rows, ("left", "right", "right", "right", "left", "left", "left"))
