"""What can go wrong, and nothing else.

FsbenchError            one sentence for the person at the keyboard; the command line exits with 2
├── UsageError          a name, option or value that does not exist or does not fit
├── SuiteError          a suite that cannot be read, or whose rows, methods and backbones do not fit together
├── DataError           images that are absent, damaged or not what was declared
│   └── DataNotFoundError   says where it looked and how to get the data
├── EpisodeError        episodes that a source cannot give, or a file of them that does not fit
├── RecordError         a record or checkpoint that is damaged
│   └── NewerRecordError    a record that a later version of fsbench wrote
├── OutputError         a file or folder that cannot be written or locked
├── TrainingError       a loss, features or logits that are not finite
├── ExecutorError       processes or nodes that were lost, or that see other files
└── DeviceError         a device that is missing, lacks an operation, or has too little memory
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fsbench.text import printable

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = [
    "DataError",
    "DataNotFoundError",
    "DeviceError",
    "EpisodeError",
    "ExecutorError",
    "FsbenchError",
    "NewerRecordError",
    "OutputError",
    "RecordError",
    "SuiteError",
    "TrainingError",
    "UsageError",
    "first_problem",
    "hint",
    "unknown",
]


class FsbenchError(Exception):
    """An error that the user can fix; its text is one sentence with the value and the way out.

    Whatever names stand in it, it is one line of printable signs.
    """

    def __str__(self) -> str:
        return printable(super().__str__())

    @property
    def problem(self) -> str:
        """What was wrong, without the way out, which is what follows the last semicolon."""
        return str(self).rpartition("; ")[0] or str(self)


class UsageError(FsbenchError):
    """A name, option or value that does not exist or does not fit."""


class SuiteError(FsbenchError):
    """A suite that cannot be read, or whose rows, methods and backbones do not fit together."""


class DataError(FsbenchError):
    """Images that are absent, damaged or not what was declared."""


class DataNotFoundError(DataError):
    """Data that is not where it was looked for."""


class EpisodeError(FsbenchError):
    """Episodes that a source cannot give, or a file of episodes that does not fit."""


class RecordError(FsbenchError):
    """A record or checkpoint that is damaged."""


class NewerRecordError(RecordError):
    """A record that a later version of fsbench wrote."""


class OutputError(FsbenchError):
    """A file or folder that cannot be written or locked."""


class TrainingError(FsbenchError):
    """A loss, features or logits that are not finite."""


class ExecutorError(FsbenchError):
    """Processes or nodes that were lost, or that see other files."""


class DeviceError(FsbenchError):
    """A device that is missing, lacks an operation, or has too little memory."""


def first_problem(error: ValidationError) -> str:
    """What pydantic found first: the keys that lead there, if any, and what is wrong, e.g. "classes.train: ..."."""
    first = error.errors(include_url=False)[0]
    words = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), words]))


def hint(name: str, known: Iterable[str]) -> str:
    """What to write instead of a name that does not exist: the nearest one that does, or all of them.

    Args:
        name: As given.
        known: All names that exist.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}."


def unknown(kind: str, name: str, known: Iterable[str], *, otherwise: str = "") -> UsageError:
    """The error for a name that does not exist, with the nearest one that does.

    Args:
        kind: What the name should have named, e.g. "suite".
        name: The name as given.
        known: All names that exist.
        otherwise: What to do where the name is meant to be new, if it may be.
    """
    return UsageError(f"unknown {kind} {name!r}; {f'{otherwise}; ' if otherwise else ''}{hint(name, known)}")
