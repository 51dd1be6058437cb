"""The comparison as JUnit XML: its exact text, its shape, and names that try to break it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from fsbench.compare import compare
from fsbench.report.junit import to_junit
from fsbench.verdict import Comparison, Finding
from helpers.compared import record, write, write_all_verdicts

FOLDER = Path(__file__).parent
# What readers of the format agree on: the attributes that an element must have, those that it may have, and what it
# may hold, as in the schema of Jenkins' xUnit plugin.
SHAPE = {
    "testsuites": (set(), {"name", "tests", "failures", "errors", "disabled", "time"}, {"testsuite"}),
    "testsuite": (
        {"name"},
        {"tests", "failures", "errors", "skipped", "disabled", "time", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "classname"},
        {"assertions", "time", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"message", "type"}, set()),
    "error": (set(), {"message", "type"}, set()),
    "skipped": (set(), {"message", "type"}, set()),
}


def _check_shape(element: ElementTree.Element) -> None:
    needed, allowed, children = SHAPE[element.tag]
    assert needed <= set(element.keys()) <= needed | allowed
    assert {child.tag for child in element} <= children
    for child in element:
        _check_shape(child)


def _cases(text: str) -> dict[str | None, tuple[str | None, str | None]]:
    """Of every test case its outcome and message."""
    return {
        case.get("name"): (case[0].tag, case[0].get("message")) if len(case) else (None, None)
        for case in ElementTree.fromstring(text).iter("testcase")
    }


def test_the_whole_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = to_junit(compare(*write_all_verdicts(Path())))
    assert text == (FOLDER / "comparison.xml").read_text(encoding="utf-8")


def test_its_shape_and_counts(tmp_path: Path) -> None:
    comparison = compare(*write_all_verdicts(tmp_path))
    root = ElementTree.fromstring(to_junit(comparison))
    assert root.tag == "testsuites"
    _check_shape(root)
    (suite,) = root
    for tag, attribute in (("testcase", "tests"), ("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert suite.get(attribute) == str(len(list(root.iter(tag)))) != "0"
    assert suite.get("tests") == str(len(comparison.findings))
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        name: suite.get(name) for name in ("tests", "failures", "errors")
    }


@pytest.mark.parametrize(
    ("verdict", "strict", "outcome"),
    [
        ("regressed", False, "failure"),
        ("not comparable", False, "error"),
        ("missing", False, "error"),
        ("damaged", False, "error"),
        ("data missing", False, "error"),
        ("suspect", False, "failure"),
        ("inconclusive", False, "skipped"),
        ("inconclusive", True, "failure"),
        ("added", False, "skipped"),
        ("improved", False, None),
        ("pass", False, None),
        ("identical", True, None),
    ],
)
def test_what_becomes_of_a_verdict(verdict: str, strict: bool, outcome: str | None) -> None:
    comparison = Comparison((Finding("a cell", verdict, "why"),), 0.5, strict)
    assert _cases(to_junit(comparison)) == {"a cell": (outcome, f"{verdict}: why" if outcome else None)}


@pytest.mark.parametrize("name", ["<script>&amp;'\"]]>", "a | _b_ & 100% # $ ~ ^ { } \\", "two  spaces", "é 字 😀"])
def test_names_are_read_back_as_they_were(tmp_path: Path, name: str) -> None:
    base = record("ProtoNet", row="row", source=name, suite=name)
    text = to_junit(compare(write(tmp_path / "base", base), write(tmp_path / "new", record("k-NN"))))
    assert f"{name}: row on {name} 5-way 1-shot" in _cases(text)
    assert name in {case.get("classname") for case in ElementTree.fromstring(text).iter("testcase")}


def test_signs_that_xml_cannot_hold_are_replaced() -> None:
    text = to_junit(Comparison((Finding("bell\x07 null\x00", "missing", "\x1b"),), 0.5, False))
    assert _cases(text) == {"bell\ufffd null\ufffd": ("error", "missing: \ufffd")}
