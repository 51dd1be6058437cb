"""What CI and images install is named by version and hash, and is what fsbench needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def locked() -> dict[str, list[str]]:
    """The versions of every library in the lock; several where they depend on Python's."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    blocks = re.findall(r"^(\S+)==(\S+)[^\n]*((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)$", text, re.MULTILINE)
    assert sum(1 + hashes.count("--hash") for _, _, hashes in blocks) == len(text.splitlines()), "a line is no such pin"
    found: dict[str, list[str]] = {}
    for name, version, _ in blocks:
        found.setdefault(name, []).append(version)
    return found


def test_the_lock_has_every_requirement_in_a_version_that_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pins = locked()
    for line in [*project["project"]["dependencies"], *project["build-system"]["requires"]]:
        wanted = Requirement(line)
        assert all(version in wanted.specifier for version in pins[wanted.name.lower()]), line


def test_actions_are_named_by_their_commits() -> None:
    used = [
        line for page in (ROOT / "docs").rglob("*.md") for line in re.findall(r"uses: (.*)", page.read_text("utf-8"))
    ]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line) for line in used), used
