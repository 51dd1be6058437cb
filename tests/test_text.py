"""Names are printed as signs, whoever gave them: no terminal, log or spreadsheet does what they say."""

from __future__ import annotations

import io
import logging
import sys
import zipfile
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fsbench.cli.main import main
from fsbench.errors import RecordError, SuiteError, UsageError
from fsbench.files.tree import open_tree
from fsbench.progress import printed_log
from fsbench.record_files import RecordStore, read_record
from fsbench.report.csv import to_csv
from fsbench.report.ranking import rank_file
from fsbench.suite_files import load_suite
from fsbench.text import check_printable, printable
from helpers.commands import fsbench as command
from helpers.factories import make_record
from helpers.tiny import write_suite

HOSTILE = {
    "a title": "\x1b]0;pwned\x07",
    "a cleared screen": "\x1b[2J",
    "a reset": "\x1bc",
    "a C1 sign": "a\x9d0;pwned\x9c",
    "another direction": "a\u202egnp.exe",
    "another line": "a\nError: all is well.",
    "a carriage return": "a\rb",
    "a line separator": "a\u2028b",
    "a workflow command": "a ##[add-mask]b",
}


@given(st.text())
def test_what_is_printable_is_one_line_of_signs_and_no_command(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert "##[" not in shown
    assert not shown.lstrip().startswith("::")
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "S", "P"], exclude_characters="#:")))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert check_printable(text) == printable(text) == text


@pytest.mark.parametrize("text", ["::error title=x::pwned", "  ::stop-commands::x", "\t::add-mask::x"])
def test_a_line_is_no_workflow_command(text: str) -> None:
    assert not printable(text).lstrip().startswith("::")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_an_error_is_one_line_whatever_its_names(name: str) -> None:
    assert str(UsageError(f"there is no {name}.")).isprintable()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_line_of_the_log_is_one_line_whatever_its_names(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with printed_log():
        logging.getLogger("fsbench").warning("skipped: %s", name)
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_records_and_suites_have_printable_names(name: str, tmp_path: Path) -> None:
    for change in ({"row": name}, {"source": name}, {"split": name}, {"partial": name}, {"suite": name}):
        with pytest.raises(ValidationError):
            make_record(**change)
    with pytest.raises(ValidationError):
        make_record(absent={"fungi": name})
    path = RecordStore(tmp_path).write(make_record().model_copy(update={"label": name}))
    with pytest.raises(RecordError, match="is damaged"):
        read_record(path)
    escaped = "".join(f"\\U{ord(sign):08x}" for sign in name)
    suite = write_suite(tmp_path / "s.toml", ('title = "', f'title = "{escaped}'))
    with pytest.raises(SuiteError, match="are not printed as they are") as refused:
        load_suite(str(suite))
    assert str(refused.value).isprintable()
    (tmp_path / "t.csv").write_text(
        f'test_source,method,mean,ci95\nBirds,"{name}",50,1\nBirds,b,51,1\n', encoding="utf-8", newline=""
    )
    with pytest.raises(UsageError) as refusal:
        rank_file(tmp_path / "t.csv")
    assert str(refusal.value).isprintable()


def test_no_line_of_a_comparison_is_a_workflow_command(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        make_record(suite="::error title=x::pwned")


def test_the_names_in_a_zip_are_printed_as_signs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/\x1b]0;pwned\x07\x1b[2J/", b"")
        archive.writestr("y/a\nError: all is well.png", b"no image")
    refusal = command("data", "prepare", "mine", "--from", tmp_path / "a.zip").stderr
    assert refusal.count("Error:") == 1
    assert refusal.replace("\n", "").isprintable()
    with open_tree(tmp_path / "a.zip") as tree:
        assert len(tree.files) == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_starts_a_formula(start: str) -> None:
    assert to_csv(["a"], [[f'{start}HYPERLINK("http://x")']]).splitlines()[1][:3].lstrip('"').startswith("'")


@pytest.mark.parametrize("number", ["-1", "+0.5", "-1.25e-9", -1.5, "", None, "1"])
def test_numbers_stay_numbers(number: object) -> None:
    assert to_csv(["a", "b"], [["x", number]]) == f"a,b\nx,{'' if number is None else number}\n"


def test_output_does_not_die_of_an_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding="latin-1"))
    monkeypatch.setitem(main.commands, "say", click.Command("say", callback=lambda: click.echo("± − 字")))
    main(["say"], standalone_mode=False)
    assert stream.getvalue() == b"\xb1 \\u2212 \\u5b57\n"
