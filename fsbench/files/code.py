"""Methods and backbones of others: their code is read once, and what was executed is what is hashed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from fsbench.errors import UsageError
from fsbench.files.reading import read_bytes

__all__ = ["Fault", "fault_in_files", "hash_of_class", "hash_of_package", "load_file"]

_NAME = "fsbench_file_"  # how the names of the modules begin that `load_file` makes
_HASH = "__fsbench_hash__"  # on a module that `load_file` made
_FILES = "__fsbench_files__"  # on such a module: its own file and those beside it that it imports


def load_file(path: Path) -> ModuleType:
    """The module of a Python file, executed once for its path and content, so that no two share a module.

    The modules beside it that it imports while it is executed are found there, and are its own: another file's modules
    of the same names are others.

    Raises:
        UsageError: There is no such file, or it fails when it is read.
    """
    try:
        sources = _sources(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"the file {path} cannot be read ({type(error).__name__}: {error}); fix it.") from error
    found = _hash(sources)
    name = f"{_NAME}{hashlib.sha256(f'{path.resolve()} {found}'.encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    setattr(module, _HASH, found)
    setattr(module, _FILES, {(path.parent / source).resolve() for source in sources})
    sys.modules[name] = module  # where inspect looks for the file of a class
    beside = {Path(source).parts[0].removesuffix(".py") for source in sources} - {path.stem}
    others = _taken(beside)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(sources[path.name], path, "exec"), vars(module))
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise UsageError(f"the file {path} fails when it is read ({type(error).__name__}: {error}).") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
        _taken(beside)
        sys.modules.update(others)
    return module


@dataclass(frozen=True)
class Fault:
    """Where an error came through the code of others last.

    Attributes:
        file: That code: a file that `load_file` has loaded, or one beside it.
        line: Its line.
        owner: The file that was loaded.
        within: The class or function of the module that the line belongs to.
    """

    file: Path
    line: int
    owner: Path
    within: str


def fault_in_files(error: BaseException) -> Fault | None:
    """The last line that an error came through in the files that `load_file` has loaded; None: it came through none."""
    loaded = [module for name, module in list(sys.modules.items()) if name.startswith(_NAME)]
    owners = {file: Path(str(module.__file__)) for module in loaded for file in getattr(module, _FILES)}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        code = frame.f_code
        if (owner := owners.get(Path(code.co_filename).resolve())) is not None:
            return Fault(Path(code.co_filename), line, owner, code.co_qualname.partition(".")[0])
    return None


def hash_of_class(found: type) -> str:
    """The hash of the file of a class, as `load_file` has executed it, with the modules beside it that it imports.

    What the file holds by now has no part in it.
    """
    loaded = [module for name, module in list(sys.modules.items()) if name.startswith(_NAME)]
    (hashed,) = {getattr(module, _HASH) for module in loaded if any(value is found for value in vars(module).values())}
    return str(hashed)


def hash_of_package(module: str) -> str:
    """The hash of all Python files of the installed package that a module belongs to, or of its one file."""
    top = importlib.util.find_spec(module.partition(".")[0])
    if top is None or not (top.origin or top.submodule_search_locations):
        raise UsageError(f"the code of {module} is in no file, so no record could say what it was; install it again.")
    folders = [Path(folder) for folder in top.submodule_search_locations or ()]
    if not folders:
        file = Path(str(top.origin))
        return _hash({file.name: read_bytes(file)})
    return _hash(
        {str(path.relative_to(folder)): read_bytes(path) for folder in folders for path in sorted(folder.rglob("*.py"))}
    )


def _taken(names: set[str]) -> dict[str, ModuleType]:
    """The imported modules of some names and those within them, which no longer count as imported."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}


def _sources(path: Path) -> dict[str, bytes]:
    """The bytes of a file and of all modules and packages beside it that it imports, by their path beside it."""
    folder, sources = path.parent, dict[str, bytes]()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        name = str(file.relative_to(folder))
        if name in sources:
            continue
        sources[name] = read_bytes(file)
        for imported in _imports(sources[name], file):
            waiting += [beside] if (beside := folder / f"{imported}.py").is_file() else []
            waiting += sorted((folder / imported).rglob("*.py")) if _is_package(folder, imported) else []
    return sources


def _is_package(folder: Path, name: str) -> bool:
    """Whether an import beside a folder's file finds the folder of that name in it, which may do without `__init__`."""
    if not (folder / name).is_dir():
        return False
    PathFinder.invalidate_caches()  # the folder may be new
    found = PathFinder.find_spec(name, [str(folder), *sys.path])
    places = () if found is None else found.submodule_search_locations or ()
    return (folder / name).resolve() in (Path(place).resolve() for place in places)


def _imports(source: bytes, file: Path) -> set[str]:
    """The first parts of the names of all modules that the code of a file imports."""
    nodes = list(ast.walk(ast.parse(source, file.name)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


def _hash(sources: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(sources):
        whole.update(f"{name} {len(sources[name])} ".encode())
        whole.update(sources[name])
    return whole.hexdigest()
