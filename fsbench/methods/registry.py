"""Methods, by name; their modules are imported only when a method is used."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from fsbench.errors import SuiteError, UsageError, unknown
from fsbench.methods.code import hash_of_file, hash_of_package, load_file

if TYPE_CHECKING:
    from fsbench.methods.base import Method
    from fsbench.suite import Row

__all__ = ["METHODS", "MethodInfo", "check_row", "hyper_parameters", "load_method", "plugins", "revision_of"]


@dataclass(frozen=True)
class MethodInfo:
    """A method that comes with fsbench: its name in suites, where it is, and one line about it."""

    name: str
    path: str
    summary: str


METHODS = (
    MethodInfo("knn", "fsbench.methods.knn:NearestNeighbour", "1-nearest neighbour, pretrained features, cosine"),
    MethodInfo("finetune", "fsbench.methods.finetune:Finetune", "new linear head on frozen pretrained features"),
    MethodInfo("matching", "fsbench.methods.matching:MatchingNet", "attention over support images (Vinyals 2016)"),
    MethodInfo("proto", "fsbench.methods.proto:ProtoNet", "distance to class means (Snell 2017)"),
    MethodInfo("relation", "fsbench.methods.relation:RelationNet", "learned comparison of feature maps (Sung 2018)"),
    MethodInfo(
        "relation-transductive",
        "fsbench.methods.relation:TransductiveRelationNet",
        "RelationNet with the statistics of the test episode, as published",
    ),
    MethodInfo("fomaml", "fsbench.methods.fomaml:FirstOrderMAML", "first-order MAML (Finn 2017)"),
    MethodInfo(
        "fomaml-transductive",
        "fsbench.methods.fomaml:TransductiveFirstOrderMAML",
        "first-order MAML with the statistics of the queries, as published",
    ),
    MethodInfo(
        "foprotomaml",
        "fsbench.methods.foprotomaml:FirstOrderProtoMAML",
        "first-order MAML from ProtoNet's head (Triantafillou 2020)",
    ),
)


def load_method(name: str) -> type[Method]:
    """The class of a method.

    Args:
        name: A name of `METHODS`, a name registered under the entry point group "fsbench.methods", or
            "path/to/file.py:Class".

    Raises:
        UsageError: There is no such method, or the file does not hold the class.
    """
    paths = {info.name: info.path for info in METHODS}
    others = plugins()
    if name in paths:
        module, _, attribute = paths[name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
    elif name in others:
        found = _from_plugin(others[name])
    elif ".py:" in name:
        found = _from_file(name)
    else:
        raise unknown("method", name, [*paths, *others])
    from fsbench.methods.base import Method

    if not (inspect.isclass(found) and issubclass(found, Method)):
        raise UsageError(f"{name!r} is not a subclass of fsbench.methods.base.Method; see the README, Add a method.")
    if not isinstance(getattr(found, "label", None), str):
        raise UsageError(f"{name!r} has no label; give the class one, its name in tables.")
    return found


def plugins() -> dict[str, EntryPoint]:
    """The methods of installed packages by their names: the entry points of the group "fsbench.methods"."""
    return {point.name: point for point in entry_points(group="fsbench.methods")}


def revision_of(name: str, method: type[Method]) -> int | str:
    """What tells a method from its earlier versions: its revision, and outside fsbench the hash of its code too."""
    if name in {info.name for info in METHODS}:
        return method.revision
    if ".py:" in name:
        return f"{method.revision}-{hash_of_file(_file_of(name))[:12]}"
    return f"{method.revision}-{hash_of_package(method.__module__)[:12]}"


def hyper_parameters(method: type[Method]) -> list[str]:
    """The names of a method's hyper-parameters: what it takes by keyword only."""
    taken = inspect.signature(method).parameters.values()
    return [parameter.name for parameter in taken if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def check_row(name: str, row: Row, method: type[Method]) -> None:
    """Check that a suite's row fits its method.

    Raises:
        UsageError: A hyper-parameter does not exist.
        SuiteError: One is missing, or the method cannot learn from the row's kind of training.
    """
    wanted = hyper_parameters(method)
    if extra := sorted(set(row.params) - set(wanted)):
        raise unknown(f"hyper-parameter of {name}", extra[0], wanted)
    if lacking := sorted(set(wanted) - set(row.params)):
        raise SuiteError(
            f"methods.{name}.params lacks {lacking[0]!r}, which {method.label} needs; add it to the suite."
        )
    if not isinstance(row.training, str) and row.training.kind != method.learns_from:
        raise SuiteError(
            f"methods.{name}.training.kind is {row.training.kind!r}, but {method.label} learns from "
            f"{method.learns_from!r}; change it in the suite."
        )
    if getattr(row.training, "pool", None) is not None and not method.pools:
        raise SuiteError(
            f"methods.{name}.training.pool asks for many tasks on the same images, but {method.label} does not embed "
            "images once to compare them; leave it out."
        )


def _from_plugin(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise UsageError(
            f"the method {point.name!r} of an installed package fails when it is loaded from {point.value} "
            f"({type(error).__name__}: {error}); mend or uninstall it."
        ) from error


def _file_of(name: str) -> Path:
    return Path(name.rpartition(":")[0])


def _from_file(name: str) -> object:
    path, attribute = _file_of(name), name.rpartition(":")[2]
    if not path.is_file():
        raise UsageError(f"there is no method file {str(path)!r}; give it as path/to/file.py:Class.")
    module = load_file(path)
    if not hasattr(module, attribute):
        raise UsageError(f"{path} has no class {attribute!r}; give the method as path/to/file.py:Class.")
    return getattr(module, attribute)
