"""Text that nobody vouches for, as it may reach a terminal, a sentence, the log of a CI job or a path."""

from __future__ import annotations

import re

__all__ = ["check_printable", "fault_of_label", "path_part", "printable"]

_LONGEST = 60  # of a label


def printable(text: str) -> str:
    """The text on one line, in signs alone: control and direction characters as Python writes them.

    What GitHub would take as a command in a job's log (`::` at the start, `##[` anywhere) is no command any more.
    """
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    if text.lstrip().startswith("::"):
        text = text.replace("::", ": :", 1)
    return text.replace("##[", "## [")


def check_printable(text: str) -> str:
    """The text as it is.

    Raises:
        ValueError: Printed, it would be another.
    """
    if printable(text) != text:
        raise ValueError(f"{text!r:.80} has characters that are not printed as they are; leave them out")
    return text


def fault_of_label(label: object) -> str | None:
    """Why something cannot be a name in tables; None: it can."""
    if not isinstance(label, str) or not 0 < len(label) <= _LONGEST:
        return f"must be a text of 1 to {_LONGEST} characters, and is {label!r:.80}"
    return None if printable(label) == label else f"has characters that are not printed as they are: {label!r:.80}"


def path_part(text: str) -> str:
    """The text as the name of a file or folder that every system takes and that leads nowhere else."""
    return re.sub(r"[^\w-]+", "-", text).strip("-") or "unnamed"
