"""Methods of other packages, by entry point."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

from fsbench.cli.main import main
from fsbench.errors import UsageError
from fsbench.methods.proto import ProtoNet
from fsbench.methods.registry import METHODS, load_method

Install = Callable[[str], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Registers the method `theirs` of an installed package."""

    def register(value: str) -> None:
        point = EntryPoint("theirs", value, "fsbench.methods")
        monkeypatch.setattr(
            "fsbench.methods.registry.entry_points", lambda *, group: [point] if group == point.group else []
        )

    return register


def test_a_method_of_another_package_is_found_by_its_name(install: Install) -> None:
    install("fsbench.methods.proto:ProtoNet")
    assert load_method("theirs") is ProtoNet


@pytest.mark.parametrize("value", ["no_such_package.module:Method", "fsbench.methods.proto:NoSuchClass"])
def test_a_broken_one_is_named(install: Install, value: str) -> None:
    install(value)
    with pytest.raises(UsageError, match=f"the method 'theirs' .* fails when it is loaded from {value} .*Error: "):
        load_method("theirs")
    assert load_method("proto") is ProtoNet


def test_methods_lists_what_works_and_warns_of_what_does_not(install: Install) -> None:
    install("fsbench.methods.proto:ProtoNet")
    listed = CliRunner().invoke(main, ["methods"])
    assert re.search(r"^theirs +ProtoNet of fsbench\.methods\.proto:ProtoNet$", listed.stdout, re.M)
    install("no_such_package.module:Method")
    listed = CliRunner().invoke(main, ["methods"])
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) == len(METHODS)
    assert re.fullmatch(r"Warning: the method 'theirs' .* mend or uninstall it\.\n", listed.stderr)
