"""The command line, called as a user would call it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from fsbench.cli.main import main

__all__ = ["fsbench", "refused", "run"]


def fsbench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def run(suite: Path, out: Path, *words: object) -> Result:
    result = fsbench("run", "--suite", suite, "--out", out, "--device", "cpu", *words)
    assert result.exit_code == 0, result.output
    return result


def refused(*words: object) -> str:
    result = fsbench(*words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    sentence = result.stderr.rpartition("Error: ")[2].strip()
    assert len(sentence.splitlines()) == 1
    return sentence
