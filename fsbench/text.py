"""Text that nobody vouches for, as it may reach a terminal, a sentence, the log of a CI job or a path."""

from __future__ import annotations

import re

__all__ = ["check_printable", "path_part", "printable"]


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


def path_part(text: str) -> str:
    """The text as the name of a file or folder that every system takes and that leads nowhere else."""
    return re.sub(r"[^\w-]+", "-", text).strip("-") or "unnamed"
