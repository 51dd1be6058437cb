"""What not every system has: flags for opening files, and locks of files that are open."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Final

__all__ = ["BINARY", "FOLDER", "NEVER_WAIT", "NO_LINK", "fcntl"]

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where nobody can remove or rename a file that is open
    fcntl = None

BINARY: Final[int] = getattr(os, "O_BINARY", 0)  # Windows would change the ends of lines
NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0)
NEVER_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
FOLDER: Final[int | None] = getattr(os, "O_DIRECTORY", None)  # None: folders cannot be opened, so not flushed
