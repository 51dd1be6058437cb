"""Ranks of a CSV file by Meta-Dataset's rule."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsbench.errors import UsageError

__all__ = ["Ranking", "rank_file"]

_NEEDED = ("test_source", "method", "mean", "ci95")


_LARGEST = 1e9  # no accuracy, and its square is a number


_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


@dataclass(frozen=True)
class Ranking:
    """The ranks of a table.

    Attributes:
        average: Method to average rank.
        ranks: Ranking column to method to rank. A column is named after its test source, and where the
            file holds several ways or shots as in "omniglot 5-way 1-shot".
        left_out: Transductive methods, which are not ranked.
    """

    average: Mapping[str, float]
    ranks: Mapping[str, Mapping[str, float]]
    left_out: Sequence[str]


@dataclass(frozen=True)
class _Line:
    """What one line of the file says."""

    number: int
    source: str
    way: str
    shot: str
    method: str
    mean: float
    ci95: float
    transductive: bool
    train_seed: str


def rank_file(path: Path) -> Ranking:
    """Rank the methods of a CSV file.

    Raises:
        UsageError: The file is not such a table; the text names line, column and value.
    """
    from fsbench.stats.intervals import average_ranks, metadataset_ranks

    lines = _read(path)
    ranked = [line for line in lines if not line.transductive]
    if not ranked:
        raise UsageError(f"{path} holds no line to rank; it needs one for every method and test source.")
    several = len({(line.way, line.shot) for line in ranked}) > 1
    columns: dict[str, dict[str, _Line]] = {}
    for line in ranked:
        settings = (f"{line.way}-way" if line.way else "", f"{line.shot}-shot" if line.shot else "")
        name = " ".join(filter(None, (line.source, *settings))) if several else line.source
        _refuse_second(path, name, columns.setdefault(name, {}).setdefault(line.method, line), line)
    _refuse_gap(path, columns)
    ranks = {
        name: metadataset_ranks(
            {method: line.mean for method, line in column.items()},
            {method: line.ci95 for method, line in column.items()},
        )
        for name, column in columns.items()
    }
    left_out = list(dict.fromkeys(line.method for line in lines if line.transductive))
    return Ranking(average_ranks(ranks), ranks, left_out)


def _read(path: Path) -> list[_Line]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            for column in _NEEDED:
                if column not in (reader.fieldnames or ()):
                    found = "".join(filter(str.isprintable, ", ".join(reader.fieldnames or ()))) or "none"
                    raise UsageError(
                        f"{path} has no column {column!r}; it needs {', '.join(_NEEDED)}, and has {found:.500}."
                    )
            return [_line(path, reader.line_num, values) for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV ({error}); it must be comma-separated UTF-8 text.") from error


def _line(path: Path, number: int, values: Mapping[str, str | None]) -> _Line:
    """One line, checked; the numbers count from 1, the header's line."""

    def text(column: str) -> str:
        return (values.get(column) or "").strip()

    for column in _NEEDED:
        if not text(column):
            raise UsageError(f"{path}, line {number}: the column {column!r} is empty.")
    if text("transductive").lower() not in _TRUTHS:
        raise UsageError(
            f"{path}, line {number}: transductive is {text('transductive')!r:.80}, neither true nor false."
        )
    ci95 = _number(path, number, "ci95", text("ci95"))
    if ci95 < 0:
        raise UsageError(f"{path}, line {number}: ci95 is {ci95}, and a half width cannot be negative.")
    return _Line(
        number=number,
        source=text("test_source"),
        way=text("way"),
        shot=text("shot"),
        method=text("method"),
        mean=_number(path, number, "mean", text("mean")),
        ci95=ci95,
        transductive=_TRUTHS[text("transductive").lower()],
        train_seed=text("train_seed"),
    )


def _number(path: Path, number: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < _LARGEST:
        raise UsageError(f"{path}, line {number}: {column} is {text!r:.80}, not a number below {_LARGEST:.0e}.")
    return value


def _refuse_second(path: Path, name: str, first: _Line, line: _Line) -> None:
    """Refuse two lines of one method in one ranking column."""
    if first is line:
        return
    if first.train_seed != line.train_seed:
        raise UsageError(
            f"{path}, line {line.number}: {line.method!r} has the training seeds {first.train_seed} and "
            f"{line.train_seed} on {name!r}, and the interval of their average does not follow from theirs; keep the "
            "lines of one seed (a run writes the ranks over all its seeds to ranks.csv)."
        )
    raise UsageError(
        f"{path}, line {line.number}: {line.method!r} stands a second time on {name!r} (first on line "
        f"{first.number}); keep one of the two."
    )


def _refuse_gap(path: Path, columns: Mapping[str, Mapping[str, _Line]]) -> None:
    """Refuse a method that is not on every ranking column: its average would not compare with the others'."""
    methods = dict.fromkeys(method for column in columns.values() for method in column)
    for method in methods:
        for name, column in columns.items():
            if method not in column:
                raise UsageError(
                    f"{path}: {method!r} has no line for {name!r}; add it, or leave the method out everywhere."
                )
