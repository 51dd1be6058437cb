"""Published results: what papers and repositories report, each with its source.

They stand in `<suite>.csv`, one line a figure. Way and shot are empty where they vary from episode to
episode; several training sources are joined by "+".
"""

from __future__ import annotations

import csv
from dataclasses import fields
from decimal import Decimal
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from fsbench.errors import UsageError, unknown
from fsbench.setting import setting_of

__all__ = ["MARKS", "Reported", "load_reported", "read_reported", "reported_suites"]

MARKS = {
    "†": "transductive: the answer to a query may depend on the episode's other queries",
    "‡": "another protocol, which stands with the source",
}

_Text = Annotated[str, Field(min_length=1)]
_Joined = BeforeValidator(lambda given: given.split("+") if isinstance(given, str) else given)
_Empty = BeforeValidator(lambda given: None if given == "" else given)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Reported:
    """One published figure.

    Attributes:
        suite: The name of its file.
        train_sources: What the model was trained on.
        test_source: Named as fsbench names it, where fsbench has it.
        method: As published; in brackets what tells it from others of the same name.
        backbone: As published.
        way: None: way and shot vary from episode to episode.
        shot: Support images per class.
        mean: Accuracy, percent, with the decimals that were printed.
        ci95: Half width of its 95 % confidence interval, percent; None: not printed.
        episodes: None: not said.
        transductive: Whether a query's answer may depend on the other queries.
        other_protocol: In what the protocol is known to differ from a suite of fsbench.
        source: Where it was published.
    """

    suite: _Text
    train_sources: Annotated[tuple[_Text, ...], _Joined]
    test_source: _Text
    method: _Text
    backbone: _Text
    way: Annotated[PositiveInt | None, _Empty]
    shot: Annotated[PositiveInt | None, _Empty]
    mean: Annotated[Decimal, Field(ge=0, le=100)]
    ci95: Annotated[Decimal | None, Field(ge=0, le=100), _Empty]
    episodes: Annotated[PositiveInt | None, _Empty]
    transductive: bool
    other_protocol: Annotated[str | None, _Empty]
    source: _Text

    @model_validator(mode="after")
    def _way_and_shot_vary_together(self) -> Reported:
        if (self.way is None) != (self.shot is None):
            raise ValueError("way and shot are both given, or both vary")
        return self

    @property
    def setting(self) -> str:
        """Way and shot, in words."""
        return setting_of(self.way, self.shot)

    @property
    def family(self) -> str:
        """The method without what stands in brackets."""
        return self.method.partition(" (")[0]

    @property
    def figure(self) -> str:
        """The mean and its interval, as printed."""
        return f"{self.mean}" if self.ci95 is None else f"{self.mean} ± {self.ci95}"

    @property
    def marks(self) -> str:
        """Those of `MARKS` that apply."""
        return "†" * self.transductive + "‡" * (self.other_protocol is not None)

    @property
    def reference(self) -> str:
        """The source, and in what the protocol differs."""
        return self.source if self.other_protocol is None else f"{self.source}; ‡ {self.other_protocol}"


_RESULTS = TypeAdapter(tuple[Reported, ...])


def reported_suites() -> tuple[str, ...]:
    """The suites with published results, by name."""
    return tuple(sorted(file.name.removesuffix(".csv") for file in _folder().iterdir() if file.name.endswith(".csv")))


@cache
def load_reported(suite: str | None = None) -> tuple[Reported, ...]:
    """The published results of a suite, or of all, in the order of their files.

    Raises:
        UsageError: There is no such suite.
    """
    if suite is None:
        return tuple(result for name in reported_suites() for result in load_reported(name))
    if suite not in reported_suites():
        raise unknown("suite of published results", suite, reported_suites())
    return read_reported(_folder() / f"{suite}.csv")


def read_reported(file: Traversable) -> tuple[Reported, ...]:
    """Read a file of published results and check every line.

    Raises:
        UsageError: A column is unknown or missing, or a value does not fit; the text names line, column and value.
    """
    lines = csv.DictReader(file.read_text(encoding="utf-8").splitlines(), restkey="beyond the last", restval="")
    columns = [field.name for field in fields(Reported) if field.name != "suite"]
    if lines.fieldnames != columns:
        raise UsageError(
            f"{file.name} has the columns {', '.join(lines.fieldnames or ())}; it needs {', '.join(columns)}."
        )
    suite = file.name.removesuffix(".csv")
    try:
        return _RESULTS.validate_python([{"suite": suite, **line} for line in lines])
    except ValidationError as error:
        first = error.errors()[0]
        line, *column = first["loc"]
        place = f"{column[0]} is {first['input']!r}; " if column else ""
        raise UsageError(
            f"{file.name}, line {int(line) + 2}: {place}{first['msg'].removeprefix('Value error, ')}."
        ) from error


def _folder() -> Traversable:
    return resources.files("fsbench.published")
