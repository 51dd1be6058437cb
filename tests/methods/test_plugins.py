"""Methods of other packages, by entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from fsbench.errors import UsageError
from fsbench.methods import load_method
from fsbench.methods.proto import ProtoNet

Install = Callable[[str], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Registers the method `theirs` of an installed package."""

    def register(value: str) -> None:
        point = EntryPoint("theirs", value, "fsbench.methods")
        monkeypatch.setattr("fsbench.methods.entry_points", lambda *, group: [point] if group == point.group else [])

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
