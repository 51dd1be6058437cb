"""What a table has found, in sentences: who leads by how much, and who cannot be told apart."""

from __future__ import annotations

from fsbench.report.differences import Family, Pair, differences
from fsbench.report.table import Table

__all__ = ["findings"]


def findings(table: Table) -> list[str]:
    """A sentence for every way, shot and track: over all of its sources where it has several, else on its one.

    It says nothing that the paired differences do not: differences are in percentage points with their 95 %
    confidence interval, and p is corrected by Holm's method over all pairs.
    """
    found: list[str] = []
    named: dict[str, set[str]] = {}  # of every way and shot, the methods that have a sentence
    for family in differences(table):
        if named.setdefault(family.setting, set()).isdisjoint(family.methods):
            named[family.setting].update(family.methods)
            found.append(f"{family.setting}, {family.place}: {_sentence(family)}")
    return found


def _sentence(family: Family) -> str:
    first, *others = _by_lead(family)
    level = [_against(family, first, other) for other in others]
    close = [pair.other for pair in level if not pair.significant]
    behind = [pair for pair in level if pair.significant]
    alike = not any(pair.significant for pair in family.pairs if {pair.method, pair.other} <= {first, *close})
    told = f"{_and([first, *close])} cannot be told apart" if alike else f"{first} is not told apart from {_and(close)}"
    if not behind:
        return f"{told}."
    lead = min(behind, key=lambda pair: pair.difference)
    if not close:
        return f"{first} leads, +{_difference(lead)} over {lead.other}, {_p(lead)}."
    ahead = f"{first} is {_difference(lead)} ahead of {lead.other}, the next, {_p(lead)}."
    return f"{told}; {ahead}"


def _by_lead(family: Family) -> list[str]:
    """The methods from the best mean to the worst: by how far each is ahead of the first on the list."""
    ahead = dict.fromkeys(family.methods, 0.0)
    for pair in family.pairs:
        if pair.method == family.methods[0]:
            ahead[pair.other] = -pair.difference
    return sorted(family.methods, key=lambda name: -ahead[name])


def _against(family: Family, method: str, other: str) -> Pair:
    """The pair of two methods, seen from the first."""
    for pair in family.pairs:
        if (pair.method, pair.other) == (method, other):
            return pair
        if (pair.method, pair.other) == (other, method):
            return pair._replace(method=method, other=other, difference=-pair.difference)
    raise AssertionError(f"{method} and {other} are no pair of the family")


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _difference(pair: Pair) -> str:
    return f"{pair.difference:.2f} ± {pair.ci95:.2f}"


def _p(pair: Pair) -> str:
    return "p < 0.0001" if pair.p_holm < 1e-4 else f"p = {pair.p_holm:.2g}"
