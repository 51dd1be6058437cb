"""What became of the checks of a method, and how it is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Literal, TypeAlias

__all__ = ["Findings", "Outcome", "Verdict"]

Verdict: TypeAlias = Literal["pass", "fail", "not applicable", "not tried"]

_WIDTH = 100


@dataclass(frozen=True)
class Outcome:
    """What became of one check.

    Attributes:
        check: Its name.
        verdict: "not tried" where an earlier check failed without which this one would say nothing.
        seen: Of a failure, what was seen; of what is not applicable or not tried, why; empty for a pass.
        expected: What every method must do.
        usually: How a failure usually comes about.
    """

    check: str
    verdict: Verdict
    seen: str
    expected: str
    usually: str

    def __str__(self) -> str:
        said = (f"Seen: {self.seen}", f"Expected: {self.expected}", f"How it usually comes about: {self.usually}")
        return "\n".join([self.check, *map(_indented, said)])


@dataclass(frozen=True)
class Findings:
    """All checks of one method.

    Attributes:
        method: Its label in tables, or the name of its class if it has none.
        params: Its hyper-parameters.
        outcomes: Of every check, in their order.
    """

    method: str
    params: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The checks that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == "fail")

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return not self.failures

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {value!r}" for name, value in self.params.items())
        wide = max(len(outcome.check) for outcome in self.outcomes)
        high = max(len(outcome.verdict) for outcome in self.outcomes)
        rows = []
        for outcome in self.outcomes:
            why = f"  {outcome.seen}" if outcome.verdict.startswith("not") else ""
            rows.append(f"{outcome.check:{wide}}  {outcome.verdict:{high}}{why}".rstrip())
        tried = sum(outcome.verdict in ("pass", "fail") for outcome in self.outcomes)
        sum_of_it = f"{tried - len(self.failures)} of {tried} checks passed."
        title = f"{self.method} ({given})" if given else self.method
        return "\n\n".join([title, "\n".join(rows), *map(str, self.failures), sum_of_it])


def _indented(paragraph: str) -> str:
    return fill(
        paragraph,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
