"""The command `fsbench check`: whether a method keeps what every method must."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fsbench.methods.base import Method

__all__ = ["check"]


class _Setting(click.ParamType[tuple[str, Any]]):
    """A name and a value as a suite would write it; a value that is no TOML is a string."""

    name = "setting"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        name, equals, text = value.partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not NAME=VALUE.", param, ctx)
        try:
            return name, tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return name, text


@click.command()
@click.argument("name", metavar="METHOD")
@click.option(
    "--param", "given", type=_Setting(), multiple=True, metavar="NAME=VALUE", help="A hyper-parameter; repeat for more."
)
@click.pass_context
def check(context: click.Context, name: str, given: tuple[tuple[str, Any], ...]) -> None:
    """Check that a method keeps the rules.

    METHOD is tried on tiny synthetic images, in seconds on a CPU.

    METHOD is a name of `fsbench methods`, one that a package registers, or path/to/file.py:Class. Methods of fsbench
    have the hyper-parameters of the suites unless told otherwise. The exit code is 0 if all checks pass, 1 if one
    fails.
    """
    from fsbench.conformance.method import check_method
    from fsbench.methods.registry import load_method

    method = load_method(name)
    findings = check_method(method, _params(name, method, dict(given)))
    click.echo(str(findings))
    context.exit(0 if findings.passed else 1)


def _params(name: str, method: type[Method], given: Mapping[str, Any]) -> dict[str, Any]:
    """All hyper-parameters of a method: those given, else those of the first suite that has it.

    Raises:
        UsageError: One does not exist or does not fit, or is neither given nor in a suite.
    """
    from fsbench.errors import UsageError, unknown
    from fsbench.methods.registry import check_values, hyper_parameters

    wanted = hyper_parameters(method)
    if extra := sorted(set(given) - set(wanted)):
        raise unknown(f"hyper-parameter of {name}", extra[0], wanted)
    params = {**_in_suites(name), **given}
    if lacking := [key for key in wanted if key not in params]:
        raise UsageError(f"{method.label} needs a value for {lacking[0]!r}; give it with --param {lacking[0]}=VALUE.")
    check_values(name, params, method)
    return params


def _in_suites(name: str) -> dict[str, Any]:
    """The hyper-parameters of a method in the first suite of fsbench that has it, `glyphs` before all others."""
    from fsbench.recipe import at_shot
    from fsbench.suite_files import list_suites

    for suite in sorted(list_suites(), key=lambda suite: suite.name != "glyphs"):
        for row in suite.methods.values():
            if row.method == name:
                return {key: at_shot(value, suite.episodes.shots[0], key) for key, value in row.params.items()}
    return {}
