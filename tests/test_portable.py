"""fsbench imports and writes on systems that are not POSIX, as far as can be told on one that is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsbench
from fsbench.files import atomic
from fsbench.files.atomic import write_atomic
from fsbench.files.reading import read_bytes

PACKAGE = Path(fsbench.__file__).parent
POSIX_MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": {"O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchmod", "fork", "getloadavg"}
    | {"geteuid", "getpgid", "getuid", "killpg", "mkfifo", "nice", "pathconf", "sched_getaffinity", "setsid"}
    | {"sched_setaffinity", "statvfs", "sysconf", "uname", "wait", "waitid"},
    "signal": {
        "SIGALRM",
        "SIGCHLD",
        "SIGHUP",
        "SIGKILL",
        "SIGPIPE",
        "SIGUSR1",
        "SIGUSR2",
        "alarm",
        "pause",
        "setitimer",
    },
}
ASKED_FIRST = {  # where the system is asked whether it has them
    ("data/decoding.py", "os.sched_getaffinity"),
    ("run/machine.py", "os.sched_getaffinity"),
    ("run/machine.py", "os.sysconf"),
}


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_modules_of_posix_are_imported_in_one_place() -> None:
    importing = {
        (name, module.partition(".")[0])
        for name, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert {pair for pair in importing if pair[1] in POSIX_MODULES} == {("files/flags.py", "fcntl")}


def test_names_of_posix_are_used_only_where_the_system_was_asked() -> None:
    used = {
        (name, f"{node.value.id}.{node.attr}")
        for name, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in POSIX_NAMES.get(node.value.id, ())
    }
    assert used == ASKED_FIRST


def test_text_is_read_and_written_in_a_named_encoding() -> None:
    """Windows would take that of its language."""
    for name, tree in _trees():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("read_text", "write_text")
            ):
                assert any(word.arg == "encoding" for word in node.keywords) or len(node.args) > 1, (name, node.lineno)


@pytest.mark.slow
def test_the_command_imports_without_the_modules_and_names_of_posix() -> None:
    """Other libraries are imported first, and keep what they found."""
    program = f"""
        import builtins, importlib, os, pkgutil, signal
        import click, filelock, google_crc32c, markupsafe, numpy, PIL.Image, platformdirs, pydantic
        import rich.console, rich.progress, safetensors.torch, scipy.stats, torch, torchvision
        missing, before = {POSIX_MODULES!r}, builtins.__import__

        def importing(name, globals=None, *rest):
            if name.partition(".")[0] in missing and (globals or {{}}).get("__name__", "").startswith("fsbench"):
                raise ImportError(name)
            return before(name, globals, *rest)

        builtins.__import__ = importing
        for module, names in {POSIX_NAMES!r}.items():
            for name in names:
                if hasattr(globals()[module], name):
                    delattr(globals()[module], name)
        import fsbench
        for found in pkgutil.walk_packages(fsbench.__path__, "fsbench."):
            if found.name != "fsbench.__main__":
                importlib.import_module(found.name)
        from fsbench.files import atomic
        assert atomic.fcntl is None and atomic.FOLDER is None
        print("all")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.stdout.strip() == "all", done.stderr


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "fcntl", None)
    monkeypatch.setattr(atomic, "FOLDER", None)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_file_is_closed_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    closed: list[int] = []
    create, close, replace = os.open, os.close, os.replace

    def creating(path: str, flags: int, mode: int = 0o777) -> int:
        opened.append(create(path, flags, mode))
        return opened[-1]

    def closing(number: int) -> None:
        closed.append(number)
        close(number)

    def replacing(old: Path, new: Path) -> None:
        assert closed == opened
        replace(old, new)

    monkeypatch.setattr(os, "open", creating)
    monkeypatch.setattr(os, "close", closing)
    monkeypatch.setattr(os, "replace", replacing)
    left = tmp_path / f".a.json.{'0' * 16}.tmp"
    left.write_bytes(b"of a process that was killed")
    write_atomic(tmp_path / "a.json", "one\r\ntwo")
    assert len(opened) == 1
    assert not left.exists()
    assert read_bytes(tmp_path / "a.json") == b"one\r\ntwo"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
