"""Methods, backbones and suites of other packages, by entry point, and of files."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsbench.backbones.conv4 import Conv4
from fsbench.backbones.registry import build_backbone, load_backbone
from fsbench.cli.main import main
from fsbench.errors import UsageError
from fsbench.methods.proto import ProtoNet
from fsbench.methods.registry import METHODS, load_method, load_methods
from fsbench.suite_files import load_suite, suite_names
from helpers.commands import refused

Install = Callable[..., None]
MINE = "from {module} import {base}\nclass Mine({base}):\n    label = {text!r}\n"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Registers things of an installed package, by default one method `theirs`."""

    def register(*values: str, kind: str = "method", name: str = "theirs") -> None:
        points = [EntryPoint(name, value, f"fsbench.{kind}s") for value in values]
        monkeypatch.setattr(
            "fsbench.plugins.entry_points", lambda *, group: [point for point in points if group == point.group]
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
    assert re.fullmatch(r"Warning: the method 'theirs' .* fix or uninstall it\.\n", listed.stderr)


@pytest.mark.parametrize("label", ["", "a\nb", "a\u00a0b", "long" * 16, 5])
def test_a_label_that_no_table_can_print_is_refused(tmp_path: Path, label: object) -> None:
    for name, module, base in (("mine.py", "methods.proto", "ProtoNet"), ("net.py", "backbones.conv4", "Conv4")):
        lines = (
            "class Mine({base}):\n    def __init__(self, **given):\n        super().__init__(**given)\n        self."
        )
        head = "class Mine({base}):\n    " if name == "mine.py" else lines
        code = f"from fsbench.{module} import {base}\n" + head.format(base=base) + f"label = {label!r}\n"
        (tmp_path / name).write_text(code)
    with pytest.raises(UsageError, match=r"the label of '.*mine\.py:Mine' (must be a text of 1|has characters)"):
        load_method(f"{tmp_path}/mine.py:Mine")
    with pytest.raises(UsageError, match=r"the label of the backbone '.*net\.py:Mine' (must be a text|has characters)"):
        build_backbone(f"{tmp_path}/net.py:Mine", channels=1, size=28, width=8)


def test_a_backbone_of_another_package_is_found_by_its_name(install: Install) -> None:
    install("fsbench.backbones.conv4:Conv4", kind="backbone")
    assert load_backbone("theirs") is Conv4
    install("fsbench.methods.proto:ProtoNet", kind="backbone")
    with pytest.raises(UsageError, match=r"'theirs' is not a subclass of fsbench\.backbones\.base\.Backbone"):
        load_backbone("theirs")


def test_a_suite_of_another_package_lies_beside_the_module_that_is_named(install: Install) -> None:
    install("fsbench.suites", kind="suite", name="omniglot-20way")  # a module whose folder has a suite of this name
    assert load_suite("omniglot-20way").episodes.way == 20


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `theirs_fsbench` that can be imported."""
    folder = tmp_path / "theirs_fsbench"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_its_suite_is_listed_and_may_be_a_base(package: Path, install: Install) -> None:
    (package / "theirs.toml").write_text('base = "glyphs"\nname = "theirs"\ntitle = "Theirs, 5-way"\n')
    install("theirs_fsbench", kind="suite")
    assert "theirs" in suite_names()
    listed = CliRunner().invoke(main, ["suites"])
    assert re.search(r"^theirs +Theirs, 5-way$", listed.stdout, re.M)
    assert re.search(r"^glyphs +Glyphs", listed.stdout, re.M)


def test_its_suite_may_name_files_beside_it(package: Path, install: Install) -> None:
    (package / "mine.py").write_text(MINE.format(module="fsbench.methods.proto", base="ProtoNet", text="beside"))
    (package / "theirs.toml").write_text(
        'base = "glyphs"\nname = "theirs"\ntitle = "Theirs"\n[methods.proto]\nmethod = "mine.py:Mine"\n'
    )
    install("theirs_fsbench", kind="suite")
    assert load_methods(load_suite("theirs"), ["proto"])["mine.py:Mine"].label == "beside"


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        (
            "no_such_package",
            "",
            "the suite 'theirs' .* fails when no_such_package is imported .*Error: .* uninstall it",
        ),
        ("theirs_fsbench", None, "the suite file theirs.toml cannot be read"),
        ("theirs_fsbench", 'name = "theirs"', "theirs.toml"),
    ],
)
def test_a_broken_suite_is_named_and_hides_no_other(
    package: Path, install: Install, module: str, text: str | None, message: str
) -> None:
    if text is not None:
        (package / "theirs.toml").write_text(text)
    install(module, kind="suite")
    listed = CliRunner().invoke(main, ["suites"])
    assert listed.exit_code == 0
    assert re.search(rf"^Warning: .*{message}", listed.stderr)
    assert len(listed.stderr.splitlines()) == 1
    assert re.search(r"^glyphs +Glyphs", listed.stdout, re.M)


def test_a_path_is_looked_for_beside_the_suite_and_then_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("there", "here"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(
            MINE.format(module="fsbench.methods.proto", base="ProtoNet", text=folder)
        )
        (tmp_path / folder / "net.py").write_text(
            MINE.format(module="fsbench.backbones.conv4", base="Conv4", text=folder)
        )
    (tmp_path / "there" / "suite.toml").write_text(
        'base = "glyphs"\nname = "mine"\ntitle = "Mine"\n[backbone]\nname = "net.py:Mine"\n'
        '[methods.proto]\nmethod = "mine.py:Mine"\n'
    )
    monkeypatch.chdir(tmp_path / "here")
    suite = load_suite("../there/suite.toml")
    assert load_methods(suite, ["proto"])["mine.py:Mine"].label == "there"
    assert load_backbone(suite.backbone.name, suite.folder).label == "there"
    shutil.copy("../there/suite.toml", tmp_path)
    fallen_back = load_suite("../suite.toml")
    assert load_methods(fallen_back, ["proto"])["mine.py:Mine"].label == "here"
    with pytest.raises(UsageError, match=r"there is no method file 'no\.py', neither in .* nor in the working folder"):
        load_method("no.py:Mine", tmp_path)


def test_a_backbone_that_does_not_say_what_it_makes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from fsbench.backbones.base import Backbone\nclass Mine(Backbone):\n"
        "    def __init__(self, **given):\n        super().__init__()\n        self.label = 'mine'\n"
    )
    with pytest.raises(UsageError, match=r"the backbone '.*net\.py:Mine' has no shape; set it in its constructor"):
        build_backbone(f"{tmp_path}/net.py:Mine", channels=1, size=28, width=8)


def test_a_backbone_with_another_constructor_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from fsbench.backbones.conv4 import Conv4\n\nclass Mine(Conv4):\n"
        "    def __init__(self, *, channels, pixels):\n"
        "        super().__init__(channels=channels, size=pixels, width=8)\n"
    )
    with pytest.raises(UsageError, match=r"does not take channels, size, width, maps by keyword \(.*'pixels'"):
        build_backbone(f"{file}:Mine", channels=1, size=28, width=8)


def test_a_file_without_a_class_is_told_which_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        MINE.format(module="fsbench.methods.proto", base="ProtoNet", text="one") + "class Other(Mine):\n    pass\n"
    )
    Path("net.py").write_text(MINE.format(module="fsbench.backbones.conv4", base="Conv4", text="Net"))
    assert refused("check", "mine.py") == "mine.py is a file; name its class, too: mine.py:Mine or mine.py:Other."
    assert refused("run", "--backbone", "net.py").endswith("net.py is a file; name its class, too: net.py:Mine.")
    assert refused("check", "net.py").startswith("net.py has no subclass of fsbench.methods.base.Method;")
    assert refused("check", "no.py") == "there is no method file 'no.py'; give it as path/to/file.py:Class."
