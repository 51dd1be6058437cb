"""What is installed: its modules and their public names, its data, its command, and what stays out of the wheel."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypeGuard
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

import fsbench
from fsbench.data.card import cards_folder

PACKAGE = Path(fsbench.__file__).parent
CHECKOUT = Path(__file__).parents[1]
SOURCES = {
    ".".join(["fsbench", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__main__.py"  # to import it is to run it
}

each_module = pytest.mark.parametrize("module", SOURCES)


def top_level_names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """The names that a module offers to other modules, and the other ones at its top level: imports and commands."""
    offered, other = set[str](), set[str]()
    for node in itertools.chain.from_iterable(node.body if _types_only(node) else [node] for node in tree.body):
        match node:
            case ast.FunctionDef(name=name, decorator_list=decorators):
                command = any(re.match(r"\w+\.(command|group)\b", ast.unparse(decorator)) for decorator in decorators)
                (other if command else offered).add(name)
            case ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                offered.add(name)
            case ast.Assign(targets=targets):
                offered.update(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                other.update(alias.asname or alias.name for alias in names)
    return offered, other


def _types_only(node: ast.stmt) -> TypeGuard[ast.If]:
    """Whether this is what only a type checker sees: where the Python interface names what it hands on."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@each_module
def test_public_names_are_in_all_and_nothing_else(module: str) -> None:
    offered, other = top_level_names(ast.parse(SOURCES[module].read_text(encoding="utf-8")))
    public = {name for name in offered if not name.startswith("_")}
    listed = set(getattr(importlib.import_module(module), "__all__", ()))
    assert public <= listed, "public by its name, but not in __all__"
    assert listed <= offered | other, "in __all__, but bound nowhere"


@each_module
def test_a_module_is_short_enough_to_hold_one_idea(module: str) -> None:
    assert len(SOURCES[module].read_text(encoding="utf-8").splitlines()) <= 400


def test_version_is_that_of_the_installed_distribution() -> None:
    assert importlib.metadata.version("fsbench") == fsbench.__version__


def test_suites_cards_and_type_marker_are_installed() -> None:
    assert (PACKAGE / "suites" / "glyphs.toml").is_file()
    assert (PACKAGE / "py.typed").is_file()
    assert {"glyphs", "omniglot"} <= {card.parent.name for card in cards_folder().glob("*/card.toml")}


def ask_for_help(*command: str) -> tuple[list[str], set[str]]:
    """Run `fsbench COMMAND --help`; return the commands that it names and the modules that were imported for it."""
    line = [sys.executable, "-P", "-X", "importtime", "-m", "fsbench", *command, "--help"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, _, below = done.stdout.partition("\nOptions:\n")
    names = re.findall(r"^  ([a-z]\S*)", below, flags=re.MULTILINE)
    return names, {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}


def test_help_of_every_command_answers_without_torch() -> None:
    asked, waiting = set[str](), [""]
    while waiting:
        command = waiting.pop()
        names, imported = ask_for_help(*command.split())
        assert "fsbench.cli.main" in imported
        assert not imported & {"torch", "pandas", "scipy", "matplotlib"}, command
        asked.add(command)
        waiting += [f"{command} {name}".strip() for name in names]
    assert asked >= {
        "",
        "run",
        "data",
        "data prepare",
        "episodes",
        "episodes export",
        "methods",
        "suites",
        "rank",
        "report",
        "reported",
        "check",
        "compare",
    }


def test_nothing_that_merely_lies_in_a_clone_gets_into_the_wheel(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(CHECKOUT / "fsbench", clone / "fsbench", ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in ["pyproject.toml", "README.md", "LICENSE", ".gitignore"]:
        for path in CHECKOUT.glob(pattern):
            copy = clone / path.relative_to(CHECKOUT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    clean = wheel_names(clone)

    for name in [
        ".tox/torch/lib/python3.12/site-packages/torch/__init__.py",
        ".venv/lib/python3.12/site-packages/torch/__init__.py",
        "myenv/lib/python3.12/site-packages/torch/__init__.py",
        "runs/glyphs/records/cell.json",
        "datasets/omniglot/images_background.zip",
        "datasets/omniglot/images_background/Latin/character01/0001_01.png",
        "datasets/omniglot/images_background/notes.toml",
        "large.bin",
    ]:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    assert wheel_names(clone) == clean
    assert {"fsbench/cli/main.py", "fsbench/data/cards/omniglot/card.toml", "fsbench/suites/glyphs.toml"} <= clean


def wheel_names(clone: Path) -> set[str]:
    """Build the wheel of a clone and return the files in it."""
    (wheel,) = WheelBuilder(str(clone)).build(directory=str(clone.parent / "dist"), versions=["standard"])
    with ZipFile(wheel) as archive:
        return set(archive.namelist())
