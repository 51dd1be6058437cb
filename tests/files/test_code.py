"""The code of methods that do not come with fsbench is part of what identifies their numbers."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fsbench.errors import UsageError
from fsbench.methods.registry import load_method, revision_of
from fsbench.plugins import load_point

MINE = "from fsbench.methods.proto import ProtoNet\n\nclass Mine(ProtoNet):\n    label = {label!r}\n"


def write(folder: Path, *, label: str = "Mine", **beside: str) -> str:
    folder.mkdir(exist_ok=True)
    imports = "".join(f"import {name}\n" for name in beside)
    (folder / "mine.py").write_text(imports + MINE.format(label=label))
    for name, text in beside.items():
        (folder / f"{name}.py").write_text(text)
    return f"{folder / 'mine.py'}:Mine"


def revision(name: str) -> object:
    return revision_of(name, load_method(name))


def test_two_files_of_one_name_are_two_methods(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", label="A"), write(tmp_path / "b", label="B")
    a, b = load_method(first), load_method(second)
    assert (a.label, b.label) == ("A", "B")
    assert a.__module__ != b.__module__
    assert revision_of(first, a) != revision_of(second, b)
    assert load_method(first) is a


def test_the_same_code_elsewhere_has_the_same_revision_and_a_module_of_its_own(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert revision(first) == revision(second)
    assert load_method(first) is not load_method(second)


def test_a_change_of_a_file_is_seen_within_one_process(tmp_path: Path) -> None:
    before = revision(name := write(tmp_path / "a"))
    write(tmp_path / "a", label="Another")
    assert load_method(name).label == "Another"
    assert revision(name) != before


def test_the_revision_is_of_what_was_executed_and_not_of_what_the_file_holds_now(tmp_path: Path) -> None:
    method = load_method(name := write(tmp_path / "a"))
    before = revision_of(name, method)
    write(tmp_path / "a", label="Another")
    assert revision_of(name, method) == before


def test_the_modules_beside_a_method_file_are_part_of_it(tmp_path: Path) -> None:
    name = write(tmp_path / "a", own_helper_of_a_test="import own_deeper_helper\nVALUE = 1\n")
    (tmp_path / "a" / "own_deeper_helper.py").write_text("DEPTH = 1\n")
    (tmp_path / "a" / "unused_beside.py").write_text("")
    before = revision(name)
    (tmp_path / "a" / "unused_beside.py").write_text("changed = 1\n")
    assert revision(name) == before
    (tmp_path / "a" / "own_deeper_helper.py").write_text("DEPTH = 2\n")
    assert revision(name) != before


def test_a_folder_of_modules_beside_a_method_file_is_part_of_it_without_an_init(tmp_path: Path) -> None:
    folder, code = tmp_path / "own_folder_of_a_test", "from own_folder_of_a_test.inner import VALUE\n"
    folder.mkdir()
    (folder / "inner.py").write_text("VALUE = 1\n")
    name = write(tmp_path, own_helper_of_a_test=code)
    before = revision(name)
    (folder / "inner.py").write_text("VALUE = 2\n")
    assert revision(name) != before
    assert "own_folder_of_a_test" not in sys.modules


def test_a_folder_of_the_name_of_an_installed_package_is_not_what_is_imported(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "inner.py").write_text("VALUE = 1\n")
    name = write(tmp_path, own_helper_of_a_test="import numpy\nVALUE = numpy.zeros(1)\n")
    before, numpy = revision(name), sys.modules["numpy"]
    (tmp_path / "numpy" / "inner.py").write_text("VALUE = 2\n")
    assert revision(name) == before
    assert sys.modules["numpy"] is numpy


def test_modules_of_one_name_beside_two_method_files_are_two(tmp_path: Path) -> None:
    names = [write(tmp_path / value, own_helper_of_a_test=f"VALUE = {value!r}\n") for value in "ab"]
    helpers = [sys.modules[load_method(name).__module__].own_helper_of_a_test for name in names]
    assert [helper.VALUE for helper in helpers] == ["a", "b"]
    assert "own_helper_of_a_test" not in sys.modules


def test_a_file_that_fails_is_one_sentence_and_leaves_no_module(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise RuntimeError('no')\n")
    before = set(sys.modules)
    with pytest.raises(UsageError, match=r"mine\.py fails when it is read \(RuntimeError: no\)"):
        load_method(f"{tmp_path / 'mine.py'}:Mine")
    assert set(sys.modules) - before == set()


@pytest.mark.parametrize("code", ["0", "'bye'"])
def test_a_file_or_package_that_ends_the_process_is_one_sentence(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends_the_process.py").write_text(f"import sys\nsys.exit({code})\n")
    with pytest.raises(UsageError, match=r"ends_the_process\.py fails when it is read \(SystemExit: "):
        load_method(f"{tmp_path / 'ends_the_process.py'}:Mine")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("mine", "ends_the_process:Mine", "fsbench.methods")
    with pytest.raises(UsageError, match="fails when it is loaded from ends_the_process:Mine"):
        load_point("method", point)


def test_every_file_of_a_package_is_part_of_its_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsbench.files.code import hash_of_package

    package = tmp_path / "some_installed_package"
    (package / "deep").mkdir(parents=True)
    for file in ("__init__.py", "method.py", "deep/__init__.py", "deep/helper.py"):
        (package / file).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = hash_of_package("some_installed_package.method")
    (package / "deep" / "helper.py").write_text("VALUE = 1\n")
    assert hash_of_package("some_installed_package.method") != before
