"""`fsbench compare`: its texts, the files that it writes, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from fsbench import compare as verdict
from fsbench.cli.compare import compare
from fsbench.cli.main import main
from fsbench.errors import UsageError
from fsbench.records import Record
from fsbench.report.comparison import conclusion, to_summary, to_text
from helpers.compared import changed, record, write, write_all_verdicts

FOLDER = Path(__file__).parent
SAME = record("ProtoNet")
SUSPECT = record("ProtoNet", changed(-9, 7, 0))
WORSE, UNSURE = record("ProtoNet", changed(-5, -3, -6)), record("ProtoNet", changed(-9, 8, 0))


@pytest.fixture(autouse=True)
def no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def _run(*words: object) -> Result:
    return CliRunner().invoke(compare, [str(word) for word in words])


def _folders(folder: Path, base: list[Record], new: list[Record]) -> tuple[Path, Path]:
    return write(folder / "base", *base), write(folder / "new", *new)


def test_the_whole_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_all_verdicts(Path())
    result = _run("base", "new")
    assert result.exit_code == 1
    assert result.stdout == (FOLDER / "comparison.txt").read_text(encoding="utf-8")


def test_the_whole_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    comparison = verdict.compare(*write_all_verdicts(Path()))
    assert to_summary(comparison) == (FOLDER / "comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("base", "new", "options", "code", "sentence"),
    [
        ([SAME], [SAME], [], 0, "No regression: 1 identical."),
        ([SAME], [WORSE], [], 1, "Regression: 1 regressed."),
        ([SAME], [WORSE], ["--margin", "20"], 0, "No regression: 1 pass."),
        ([SAME], [UNSURE], [], 0, "No regression: 1 inconclusive."),
        ([SAME], [UNSURE], ["--strict"], 6, "Not settled: 1 inconclusive."),
        ([SAME], [SUSPECT], [], 6, "Not settled: 1 suspect."),
        ([SAME], [record("ProtoNet", pack="other")], [], 3, "Not comparable: 1 not comparable."),
        ([SAME], [record("k-NN")], [], 4, "Incomplete: 1 missing, 1 added."),
        ([], [SAME], [], 4, "Incomplete: 1 missing, 1 added."),
        (
            [SAME, record("ProtoNet", source="fungi")],
            [record("ProtoNet", absent={"fungi": "no images."})],
            [],
            5,
            "Data missing: 1 data missing, 1 identical.",
        ),
    ],
)
def test_exit_codes_and_the_closing_sentence(
    tmp_path: Path, base: list[Record], new: list[Record], options: list[str], code: int, sentence: str
) -> None:
    result = _run(*_folders(tmp_path, base, new), *options)
    assert (result.exit_code, result.stderr) == (code, "")
    assert result.stdout.splitlines()[-1] == sentence


def test_a_folder_that_is_not_there_and_a_margin_that_is_no_number_are_usage(tmp_path: Path) -> None:
    assert _run(tmp_path / "none", tmp_path).exit_code == 2
    assert _run(tmp_path, tmp_path, "--margin", "half").exit_code == 2
    result = _run(tmp_path, tmp_path, "--margin", "nan")
    assert isinstance(result.exception, UsageError)


def test_every_file_is_written_also_when_it_fails(tmp_path: Path) -> None:
    files = {name: tmp_path / "out" / name for name in ("json", "junit", "summary")}
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    result = _run(*_folders(tmp_path, [SAME], [WORSE]), *words)
    assert result.exit_code == 1
    content = json.loads(files["json"].read_text())
    assert (content["exit_code"], content["findings"][0]["verdict"]) == (1, "regressed")
    assert ElementTree.parse(files["junit"]).getroot().get("failures") == "1"
    assert files["summary"].read_text(encoding="utf-8").startswith("## Regression: 1 regressed.\n")
    _run(*_folders(tmp_path / "again", [SAME], [SAME]), *words)
    assert files["summary"].read_text(encoding="utf-8").startswith("## No regression: 1 identical.\n")


@pytest.mark.parametrize("named", [False, True])
def test_the_summary_of_a_step_is_appended_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    step = tmp_path / "step.md"
    step.write_text("of another command\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    base, new = _folders(tmp_path, [SAME], [SAME])
    assert _run(base, new, *(["--summary", step] if named else [])).exit_code == 0
    assert step.read_text(encoding="utf-8") == "of another command\n" + to_summary(verdict.compare(base, new))


def test_another_summary_leaves_that_of_the_step_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    _run(*_folders(tmp_path, [SAME], [SAME]), "--summary", tmp_path / "own.md")
    assert (tmp_path / "own.md").exists()
    assert not (tmp_path / "step.md").exists()


def test_names_stay_on_their_line_and_are_shown_literally(tmp_path: Path) -> None:
    row = "a|b <script> _x_ `c`"
    base, new = _folders(tmp_path, [record("ProtoNet", row=row)], [record("ProtoNet", changed(-5, -3), row=row)])
    comparison = verdict.compare(base, new)
    text = to_text(comparison)
    assert text.splitlines()[2].startswith("tiny: a|b <script> _x_ `c` on omniglot 5-way 1-shot ")
    line = next(line for line in to_summary(comparison).splitlines() if line.startswith("| tiny"))
    assert line.startswith(r"| tiny: a\|b &lt;script&gt; \_x\_ \`c\` ")
    assert conclusion(comparison) in text


def test_a_fault_of_fsbench_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(verdict, "compare", fail)
    result = CliRunner().invoke(main, ["compare", str(tmp_path), str(tmp_path)])
    assert (result.exit_code, result.stdout) == (70, "")
    assert "ZeroDivisionError: unforeseen" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("This is a bug in fsbench (exit code 70)")


def test_a_reader_that_goes_away_is_no_verdict(tmp_path: Path) -> None:
    base, new = _folders(tmp_path, [SAME], [SAME])
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run([sys.executable, "-m", "fsbench", "compare", base, new], stdout=writing, check=False)
    finally:
        os.close(writing)
    assert ended.returncode == 128 + signal.SIGPIPE
