"""What is known by a name or a path: classes of fsbench, of installed packages (entry points), and of files."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

from fsbench.errors import FsbenchError, UsageError, unknown
from fsbench.files.code import Fault, fault_in_files, hash_of_class, hash_of_package, load_file

__all__ = ["Kind", "blame_package", "blaming_files", "load_class", "load_point", "registered", "revision_of_class"]

Kind: TypeAlias = Literal["backbone", "method", "suite"]

_of_files: dict[Path, dict[str, Kind]] = {}  # what was loaded from each file, by the names of its classes
_of_points: set[str] = set()  # the packages that something was loaded from


@contextmanager
def blaming_files() -> Iterator[None]:
    """Turn what a class of a file or package raises, while it is used, into a sentence that names file and line.

    What memory or a closed pipe refuses is nobody's fault, and stays what it is.

    Raises:
        MemoryError: Memory ran out, also where torch calls that a RuntimeError.
        UsageError: Something came up in a file or package that something was loaded from.
    """
    try:
        yield
    except (FsbenchError, MemoryError, BrokenPipeError):
        raise
    except Exception as error:
        # torch has an exception of its own on a GPU alone
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
            raise MemoryError(str(error)) from error
        said = next(iter(str(error).strip().splitlines()), "").rstrip(".")
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        if (fault := fault_in_files(error)) is not None:
            where = f"{_from_here(fault.file)}, line {fault.line}"
            raise UsageError(f"{where}, raises {what}; {_way_out(fault)}") from error
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            package = str(frame.f_globals.get("__name__")).partition(".")[0]
            if package in _of_points - {"fsbench"}:
                where = f"{frame.f_code.co_filename}, line {line}"
                raise UsageError(f"{where}, raises {what}; tell the authors of {package}, or uninstall it.") from error
        raise


def _way_out(fault: Fault) -> str:
    """What to do about a fault: a method has a check of its own."""
    loaded = _of_files.get(fault.owner.resolve(), {})
    methods = [name for name, kind in loaded.items() if kind == "method"]
    if not methods or fault.within in loaded.keys() - set(methods):
        return "fix it."
    method = fault.within if fault.within in methods else methods[0]
    return f"`fsbench check {_from_here(fault.owner)}:{method}` says more."


def registered(kind: Kind) -> dict[str, EntryPoint]:
    """What installed packages add, by name: the entry points of the group "fsbench.methods", and so on."""
    return {point.name: point for point in entry_points(group=f"fsbench.{kind}s")}


def load_class(kind: Kind, name: str, own: Mapping[str, str], base: str, beside: Path | None = None) -> type:
    """A class by its name or path.

    Args:
        kind: What it is; for messages, and for the group of entry points.
        name: A name in `own`, of an entry point, or "path/to/file.py:Class".
        own: The classes of fsbench, "module:Class" by name.
        base: "module:Class" of what it must be a subclass of; imported only when a class was found.
        beside: The folder in which a relative path is looked for before the working folder.

    Raises:
        UsageError: There is none, it cannot be loaded, or it is no such class.
    """
    others = registered(kind)
    if name in own:
        found = _imported(own[name])
    elif name in others:
        found = load_point(kind, others[name])
    elif ".py:" in name:
        found = _from_file(kind, name, beside)
    elif name.endswith(".py"):
        raise _without_class(kind, name, base, beside)
    else:
        raise unknown(kind, name, [*own, *others])
    wanted = _imported(base)
    assert isinstance(wanted, type)
    if not (inspect.isclass(found) and issubclass(found, wanted)):
        raise UsageError(f"{name!r} is not a subclass of {base.replace(':', '.')}; see docs/add-a-{kind}.md.")
    return found


def load_point(kind: Kind, point: EntryPoint) -> object:
    """What an entry point stands for.

    Raises:
        UsageError: It cannot be loaded.
    """
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"the {kind} {point.name!r} of an installed package fails when it is loaded from {point.value} "
            f"({type(error).__name__}: {error}); fix or uninstall it."
        ) from error
    blame_package(point)
    return found


def blame_package(point: EntryPoint) -> None:
    """Have `blaming_files` name the package of an entry point for what comes up in it."""
    _of_points.add(point.module.partition(".")[0])


def revision_of_class(name: str, found: type, revision: int, own: Mapping[str, str]) -> int | str:
    """What tells a class from its earlier versions: its revision, and outside fsbench the hash of its code too.

    Args:
        name: As it was given to `load_class`, like `own`.
        found: The class.
        revision: What it says itself.
        own: The classes of fsbench.
    """
    if name in own:
        return revision
    code = hash_of_class(found) if ".py:" in name else hash_of_package(found.__module__)
    return f"{revision}-{code[:12]}"


def _imported(path: str) -> object:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _file_of(name: str, beside: Path | None) -> Path:
    """The file that "path/to/file.py:Class" names."""
    path = Path(name.rpartition(":")[0])
    return beside / path if beside is not None and (beside / path).is_file() else path


def _existing(kind: Kind, name: str, beside: Path | None) -> Path:
    """As `_file_of`.

    Raises:
        UsageError: There is no such file.
    """
    path = _file_of(name, beside)
    if not path.is_file():
        where = "" if beside is None or path.is_absolute() else f", neither in {beside} nor in the working folder"
        raise UsageError(f"there is no {kind} file {str(path)!r}{where}; give it as path/to/file.py:Class.")
    return path


def _without_class(kind: Kind, name: str, base: str, beside: Path | None) -> UsageError:
    """The error for a file of which no class is named, with those that it has."""
    module, wanted = load_file(_existing(kind, f"{name}:", beside)), _imported(base)
    assert isinstance(wanted, type)
    fitting = [f"{name}:{attribute}" for attribute, value in _classes(module).items() if issubclass(value, wanted)]
    if not fitting:
        return UsageError(f"{name} has no subclass of {base.replace(':', '.')}; see docs/add-a-{kind}.md.")
    return UsageError(f"{name} is a file; name its class, too: {' or '.join(fitting)}.")


def _classes(module: ModuleType) -> dict[str, type]:
    """The classes that a module defines, by name."""
    found = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    return {name: value for name, value in found.items() if value.__module__ == module.__name__}


def _from_file(kind: Kind, name: str, beside: Path | None) -> object:
    attribute = name.rpartition(":")[2]
    path = _existing(kind, name, beside)
    module = load_file(path)
    if not hasattr(module, attribute):
        raise unknown(f"class of {path}", attribute, _classes(module))
    _of_files.setdefault(path.resolve(), {})[attribute] = kind
    return getattr(module, attribute)


def _from_here(path: Path) -> str:
    """A path as one would write it in the working folder."""
    whole, here = path.resolve(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else path)
