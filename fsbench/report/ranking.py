"""Ranks of a CSV file by Meta-Dataset's rule."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from fsbench.errors import UsageError
from fsbench.files.reading import read_text
from fsbench.files.strict import Text

__all__ = ["Ranking", "rank_file"]

_NEEDED: Final = ("test_source", "method", "mean", "ci95")
_LARGEST: Final = 1e9  # no accuracy, and its square is a number

_Text = Annotated[Text, Field(min_length=1)]
_Number = Annotated[float, Field(gt=-_LARGEST, lt=_LARGEST)]
_Truth = Annotated[bool, BeforeValidator(lambda text: text.strip() or False)]


@dataclass(frozen=True)
class Ranking:
    """The ranks of a table.

    Attributes:
        average: Method to average rank.
        ranks: Ranking column to method to rank. A column is named after its test source, and where the
            file holds several ways or shots as in "omniglot 5-way 1-shot".
        left_out: Transductive methods, which are not ranked.
        other_tracks: The inductive methods that are not ranked with the others, since a column "track" has them
            elsewhere: not in A everywhere, or, where no inductive method is, not where most are.
    """

    average: Mapping[str, float]
    ranks: Mapping[str, Mapping[str, float]]
    left_out: Sequence[str]
    other_tracks: Sequence[str] = ()


class _Line(BaseModel):
    """What one line of the file says; other columns do not matter."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    number: int  # of the line, the head's being 1
    test_source: _Text
    method: _Text
    mean: _Number
    ci95: Annotated[_Number, Field(ge=0)]
    way: str = ""
    shot: str = ""
    transductive: _Truth = False
    train_seed: str = ""
    track: str = ""


_LINES: Final = TypeAdapter(list[_Line])


def rank_file(path: Path) -> Ranking:
    """Rank the methods of a CSV file.

    Raises:
        UsageError: The file is not such a table; the text names line, column and value.
    """
    from fsbench.stats.ranks import average_ranks, metadataset_ranks

    lines = _read(path)
    inductive = [line for line in lines if not line.transductive]
    others = _other_tracks(inductive)
    ranked = [line for line in inductive if line.method not in others]
    if not ranked:
        raise UsageError(f"{path} holds no line to rank; it needs one for every method and test source.")
    several = len({(line.way, line.shot) for line in ranked}) > 1
    columns: dict[str, dict[str, _Line]] = {}
    for line in ranked:
        settings = (f"{line.way}-way" if line.way else "", f"{line.shot}-shot" if line.shot else "")
        name = " ".join(filter(None, (line.test_source, *settings))) if several else line.test_source
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
    return Ranking(average_ranks(ranks), ranks, left_out, others)


def _read(path: Path) -> list[_Line]:
    try:
        text = io.StringIO(read_text(path).removeprefix("\ufeff"), newline="")
        reader = csv.DictReader(text, skipinitialspace=True, restkey="beyond the last", restval="")
        heads = reader.fieldnames or ()
        for column in _NEEDED:
            if column not in heads:
                there = ", ".join(heads) or "none"
                raise UsageError(
                    f"{path} has no column {column!r}; it needs {', '.join(_NEEDED)}, and has {there:.500}."
                )
        lines = [{**values, "number": reader.line_num} for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV ({error}); it must be comma-separated UTF-8 text.") from error
    try:
        return _LINES.validate_python(lines)
    except ValidationError as error:
        first = error.errors()[0]
        number = lines[int(first["loc"][0])]["number"]
        problem = _problem(str(first["loc"][1]), first["input"], first["type"])
        raise UsageError(f"{path}, line {number}: {problem}") from error


def _problem(column: str, value: Any, error: str) -> str:
    """What is wrong with a value, as a sentence."""
    if not str(value).strip():
        return f"the column {column!r} is empty."
    if column == "transductive":
        return f"transductive is {value!r:.80}, neither true nor false."
    if error == "greater_than_equal":
        return f"{column} is {value!r:.80}, and a half width cannot be negative."
    return f"{column} is {value!r:.80}, not a number below {_LARGEST:.0e}."


def _other_tracks(lines: Sequence[_Line]) -> list[str]:
    """The methods of other tracks than those that are ranked."""
    tracks: dict[str, dict[tuple[str, str, str], str]] = {}
    for line in lines:
        tracks.setdefault(line.method, {})[line.test_source, line.way, line.shot] = line.track or "A"
    ranked: dict[tuple[str, str, str], str] = {}
    if tracks and all({*own.values()} != {"A"} for own in tracks.values()):
        ranked = dict(Counter(frozenset(own.items()) for own in tracks.values()).most_common(1)[0][0])
    return [name for name, own in tracks.items() if any(ranked.get(at, "A") != track for at, track in own.items())]


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
