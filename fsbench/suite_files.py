"""The files of suites: those that come with fsbench, those of installed packages, and any other by its path."""

from __future__ import annotations

from importlib import resources
from importlib.metadata import EntryPoint
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import ValidationError

from fsbench.errors import SuiteError, UsageError, unknown
from fsbench.files.bases import content_of, place_of, read_layers
from fsbench.files.findings import finding
from fsbench.files.toml import shown
from fsbench.plugins import registered
from fsbench.suite import Suite

__all__ = ["list_suites", "load_suite", "suite_names"]


def list_suites() -> list[Suite]:
    """The suites that come with fsbench, by name."""
    return [load_suite(name) for name in sorted(_shipped())]


def suite_names() -> list[str]:
    """The names of all suites: of fsbench, and of installed packages (entry points of the group "fsbench.suites")."""
    return sorted({*_shipped(), *registered("suite")})


def load_suite(name: str | Path) -> Suite:
    """Read a suite.

    A file may name another suite as its `base`, or the path of one beside it; it then says only what differs from that.

    Args:
        name: One of `suite_names()`, or the path of a TOML file.

    Raises:
        UsageError: There is no suite of this name, or the package that has it fails.
        SuiteError: The file cannot be read; the text names file, line and key.
    """
    name = str(name)
    layers = read_layers(name, _find)
    content = content_of(layers)
    try:
        suite = Suite.model_validate(content)
    except ValidationError as error:
        keys, sentence = finding(error, Suite, content)
        where = f"{place_of(layers, keys)}: {'.'.join(map(shown, keys)) or 'the suite'}"
        raise SuiteError(f"{where}: {sentence}") from error
    if name not in _shipped() and isinstance(found := _find(name), Path):
        return suite.read_from(found.resolve().parent)
    return suite


def _shipped() -> dict[str, Traversable]:
    """The files of the suites that come with fsbench, by name."""
    files = (resources.files("fsbench") / "suites").iterdir()
    return {file.name.removesuffix(".toml"): file for file in files if file.name.endswith(".toml")}


def _find(name: str) -> Traversable:
    """The file of a suite."""
    shipped, others = _shipped(), registered("suite")
    if name.endswith(".toml"):
        return Path(name)
    if name in shipped:
        return shipped[name]
    if name in others:
        return _of_package(others[name])
    raise unknown("suite", name, suite_names())


def _of_package(point: EntryPoint) -> Traversable:
    """The file of a suite beside the module that an entry point names, `<name of the suite>.toml`."""
    try:
        return resources.files(point.value) / f"{point.name}.toml"
    except (Exception, SystemExit) as error:  # anything that somebody else's package may raise
        raise UsageError(
            f"the suite {point.name!r} of an installed package fails when {point.value} is imported "
            f"({type(error).__name__}: {error}); fix or uninstall it."
        ) from error
