"""A comparison as JUnit XML, which CI services show as test results."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final
from xml.etree import ElementTree

from fsbench.verdict import EXIT_CODES, Comparison, Finding, Verdict

__all__ = ["to_junit"]

_FAILURES: Final = (EXIT_CODES["regressed"], EXIT_CODES["suspect"])
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(comparison: Comparison) -> str:
    """Write a test case for every finding of a comparison.

    What regressed or is suspect is a failure, with `strict` also what is inconclusive; what could not be compared is
    an error; what does not fail and yet is no pass (inconclusive, or not in BASE) is skipped. All of these say why.
    A test case has the suite as its class.
    """
    suite = ElementTree.Element("testsuite", {"name": "fsbench compare"})
    outcomes: Counter[str] = Counter()
    for finding in comparison.findings:
        group = finding.place.suite if finding.place else "records"
        case = ElementTree.SubElement(suite, "testcase", {"name": _clean(finding.subject), "classname": _clean(group)})
        outcome = _outcome(comparison.code(finding), finding.verdict)
        outcomes[outcome or "passed"] += 1
        if outcome:
            message = _clean(f"{finding.verdict}: {_explanation(finding)}")
            ElementTree.SubElement(case, outcome, {"message": message})
    counts = {"tests": len(suite), "failures": outcomes["failure"], "errors": outcomes["error"]}
    root = ElementTree.Element("testsuites", {"name": "fsbench compare"})
    root.append(suite)
    for name, number in counts.items():
        root.set(name, str(number))
        suite.set(name, str(number))
    suite.set("skipped", str(outcomes["skipped"]))
    ElementTree.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _outcome(code: int, verdict: Verdict) -> str | None:
    if code:
        return "failure" if code in _FAILURES else "error"
    return "skipped" if verdict in ("inconclusive", "added") else None


def _explanation(finding: Finding) -> str:
    if finding.difference is None:
        return finding.reason
    figures = f"{finding.base:.2f} → {finding.new:.2f}, {finding.change} points over {finding.over}"
    parts = (figures, f"p {finding.difference.p_value:.2g} after Holm", finding.reason)
    return ", ".join(filter(None, parts))


def _clean(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
