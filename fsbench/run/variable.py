"""Whether a suite that comes with fsbench has trainings for variable shots, which most have not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsbench.errors import SuiteError
from fsbench.recipe import BatchTraining, at_shot
from fsbench.suite import Suite
from fsbench.suite_files import list_suites

__all__ = ["check_variable"]

_ASKED: Final = ("tasks", "steps", "rate", "validate_every")  # of every training on variable shots that has them


def check_variable(suite: Suite, rows: Sequence[str]) -> None:
    """Refuse a suite that comes with fsbench and whose trainings say nothing of variable shots.

    Of a suite in a file of the user's own the plan says itself which value it lacks, and where to add it.

    Raises:
        SuiteError: A training of some rows, or one that it starts from, lacks a value.
    """
    lacking = None if suite.folder is not None else _lacking(suite, rows)
    if lacking is not None:
        having = [each.name for each in list_suites() if _lacking(each, list(each.methods)) is None]
        raise SuiteError(
            f"the suite {suite.name} has no trainings for variable shots ({lacking}); take {' or '.join(having)}, or "
            "give the values in a suite of your own."
        )


def _lacking(suite: Suite, rows: Sequence[str]) -> str | None:
    """The first value of a training that is not given for variable shots."""
    needed = dict.fromkeys(upon for row in rows for upon in suite.trained_upon(suite.trained_as(row)))
    for row in needed:
        training = suite.methods[row].training
        if isinstance(training, str) or training.shot_for(None) is not None:
            continue
        for key in _ASKED:
            where = f"methods.{row}.training.{key}"
            if key == "tasks" and isinstance(training, BatchTraining):
                continue
            try:
                value = at_shot(getattr(training, key), None, where)
            except SuiteError:
                return where
            if key == "tasks" and value != 1:
                return where
    return None
