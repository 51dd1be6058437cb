"""What is said of a cell whose records were compared, and how a whole comparison ends.

With the paired difference NEW minus BASE, its 95 % interval, and a margin in percentage points, the first of these that
holds is the verdict:

identical       every episode has the same count of correct answers
pass            the lower end of the interval lies above −margin; called improved if the difference is positive and
                significant
regressed       the upper end lies below 0, the difference below −margin / 2, and it is significant
suspect         the difference lies below −margin, and it may be noise
inconclusive    otherwise: more episodes or training seeds would tell

Significant is p < 0.05 after Holm's correction over all compared cells that are not identical.

Exit codes: 0 nothing regressed; 1 a cell regressed; 3 something is not comparable, or was written by a later version;
4 a cell of BASE is missing in NEW, a record is damaged, or there is none; 5 a cell is missing because the images of its
source were; 6 a cell is suspect, or with `strict` inconclusive. Of several the lowest wins: a drop that was shown
outweighs what could not be looked at, what nobody has explained outweighs what NEW itself gives a reason for, and what
may be noise comes last.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar

from fsbench.setting import setting_of
from fsbench.stats.paired import SIGNIFICANCE, Difference, holm

__all__ = ["EXIT_CODES", "Comparison", "Finding", "Place", "Verdict", "verdicts"]

_K = TypeVar("_K", bound=Hashable)

Verdict = Literal[
    "regressed",
    "not comparable",
    "missing",
    "damaged",
    "data missing",
    "suspect",
    "inconclusive",
    "improved",
    "pass",
    "identical",
    "added",
]

EXIT_CODES: Final[Mapping[Verdict, int]] = {  # the most serious first
    "regressed": 1,
    "not comparable": 3,
    "missing": 4,
    "damaged": 4,
    "data missing": 5,
    "suspect": 6,
    "inconclusive": 0,
    "improved": 0,
    "pass": 0,
    "identical": 0,
    "added": 0,
}


class Place(NamedTuple):
    """What a cell measures, by which it is found on both sides."""

    suite: str
    row: str  # its key in the suite
    source: str
    way: int | None  # None: way and shot vary
    shot: int | None

    def __str__(self) -> str:
        return f"{self.suite}: {self.row} on {self.source} {setting_of(self.way, self.shot)}"


@dataclass(frozen=True)
class Finding:
    """What is said of one cell, or of one file that is not a record to compare.

    Attributes:
        subject: The cell or the file, in words.
        verdict: See the module.
        reason: Why it could not be compared; of a compared cell, what else of it has changed, or nothing.
        place: None for a file.
        base: Mean accuracy in BASE, percent, over episodes and training seeds; None where it is not compared.
        new: The same in NEW, over the seeds that BASE has.
        difference: NEW minus BASE, percentage points; its p value is Holm's.
        over: What the interval of the difference is taken over, e.g. "200 episodes" or "3 training seeds".
        records: Of BASE and of NEW, the ids of the compared records, by training seed.
    """

    subject: str
    verdict: Verdict
    reason: str = ""
    place: Place | None = None
    base: float | None = None
    new: float | None = None
    difference: Difference | None = None
    over: str = ""
    records: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def change(self) -> str:
        """The difference as it is printed; empty where there is none."""
        if self.difference is None:
            return ""
        return f"{self.difference.mean:+.2f} ± {self.difference.half_width:.2f}".replace("-", "−")


@dataclass(frozen=True)
class Comparison:
    """Two folders of records, compared.

    Attributes:
        findings: The most serious first; equally serious ones as their files are sorted.
        margin: Percentage points.
        strict: Whether inconclusive cells fail.
    """

    findings: tuple[Finding, ...]
    margin: float
    strict: bool

    def code(self, finding: Finding) -> int:
        """The exit code that a finding asks for; 0 if it does not fail."""
        strictly: Verdict = "suspect" if self.strict and finding.verdict == "inconclusive" else finding.verdict
        return EXIT_CODES[strictly]

    @property
    def exit_code(self) -> int:
        """The lowest that a finding asks for, 0 aside."""
        return min(filter(None, map(self.code, self.findings)), default=0)


def verdicts(differences: Mapping[_K, Difference], margin: float) -> dict[_K, tuple[Verdict, Difference]]:
    """What the rule of this module says of cells in which something has changed.

    Args:
        differences: Cell to its difference, NEW minus BASE; all compared cells but the identical ones.
        margin: Percentage points.

    Returns:
        Cell to its verdict, and the difference with the p value that Holm's correction gives it.
    """
    p_values = holm({cell: difference.p_value for cell, difference in differences.items()})
    corrected = {cell: difference._replace(p_value=p_values[cell]) for cell, difference in differences.items()}
    return {cell: (_judge(difference, margin), difference) for cell, difference in corrected.items()}


def _judge(difference: Difference, margin: float) -> Verdict:
    mean, half_width, p_value = difference
    if mean - half_width > -margin:
        return "improved" if mean > 0 and p_value < SIGNIFICANCE else "pass"
    if mean + half_width < 0 and mean < -margin / 2 and p_value < SIGNIFICANCE:
        return "regressed"
    return "suspect" if mean < -margin else "inconclusive"
