"""What CI and images install is named by version and hash, and is what fsbench needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


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
    pages = [*(ROOT / "docs").rglob("*.md"), *WORKFLOWS]
    used = [line for page in pages for line in re.findall(r"uses: (.*)", page.read_text("utf-8"))]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line) for line in used), used


def test_one_action_has_one_commit_everywhere() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *WORKFLOWS]
    used = {line for page in pages for line in re.findall(r"uses: (.*)", page.read_text("utf-8"))}
    assert len({line.partition("@")[0] for line in used}) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_name_environments_that_exist(path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in workflow["jobs"].values())
    environments = re.findall(r"^\[testenv:(\w+)\]", (ROOT / "tox.ini").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"tox -e (\w+)", path.read_text("utf-8"))) <= set(environments)


def test_the_image_copies_what_is_there_and_no_more_is_sent() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert {"requirements.lock", "pyproject.toml", "fsbench"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sorted(sent) == sorted(copied)
