"""What every method must satisfy, whoever wrote it: checks on tiny synthetic images, in seconds on a CPU."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from typing import Any, Final

from fsbench.conformance.answer_checks import ANSWER_CHECKS
from fsbench.conformance.check import Check, NotApplicableError
from fsbench.conformance.findings import Findings, Outcome, Verdict
from fsbench.conformance.form_checks import FORM_CHECKS, TASKS_CHECKS
from fsbench.conformance.learning_checks import LEARNING_CHECKS
from fsbench.conformance.subject import Subject
from fsbench.methods.base import Method
from fsbench.methods.registry import check_values

__all__ = ["CHECKS", "Findings", "Outcome", "check_method"]

CHECKS: Final = (*FORM_CHECKS, *TASKS_CHECKS, *LEARNING_CHECKS, *ANSWER_CHECKS)


def check_method(method_class: type[Method], params: Mapping[str, Any]) -> Findings:
    """Check a method on a Conv4 of width 8, on the CPU, and on CUDA where there is one.

    What the method raises is a failure of the check that met it. Without the form that `FORM_CHECKS` ask for, the
    other checks would say nothing and are not tried.

    Args:
        method_class: The method.
        params: Its hyper-parameters, all of them.

    Raises:
        UsageError: One is of another type or out of its range.
    """
    check_values(method_class.__name__, params, method_class)
    subject, outcomes, lacking = Subject(method_class, params), [], None
    for check in CHECKS:
        if lacking is not None:
            outcome = _outcome(check, "not tried", f"{lacking!r} comes first.")
        else:
            outcome = _looked(check, subject)
            lacking = check.name if check in FORM_CHECKS and outcome.verdict == "fail" else None
        outcomes.append(outcome)
    return Findings(getattr(method_class, "label", method_class.__name__), dict(params), tuple(outcomes))


def _looked(check: Check, subject: Subject) -> Outcome:
    try:
        seen = check.look(subject)
    except NotApplicableError as error:
        return _outcome(check, "not applicable", str(error))
    except Exception as error:  # anything that somebody else's method may raise
        return _outcome(check, "fail", _raised(error, subject.method_class))
    return _outcome(check, "pass" if seen is None else "fail", seen or "")


def _outcome(check: Check, verdict: Verdict, seen: str) -> Outcome:
    return Outcome(check.name, verdict, seen, check.expected, check.usually)


def _raised(error: Exception, method_class: type[Method]) -> str:
    """What was raised, and the last line of the method's own file that it came through."""
    file = inspect.getsourcefile(method_class)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" at line {lines[-1]} of its file" if lines else ""
    message = next(iter(str(error).splitlines()), "")
    return f"It raised {type(error).__name__}{where}: {message}"
