"""The model of what is read from files that people write or edit."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fsbench.text import check_printable

__all__ = ["Count", "LongText", "Number", "Percent", "Seed", "Steps", "StrictModel", "Text"]

_Printable = AfterValidator(check_printable)
Text: TypeAlias = Annotated[str, StringConstraints(max_length=200), _Printable]  # a name, or a cell of a table
LongText: TypeAlias = Annotated[str, StringConstraints(max_length=2000), _Printable]  # a sentence, or a path
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]  # of which there may be none
Number: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]  # of ways, shots, queries, tasks
Steps: TypeAlias = Annotated[int, Field(ge=1, le=10**9)]
Seed: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Percent: TypeAlias = Annotated[float, Field(ge=0, le=100)]


class StrictModel(BaseModel):
    """A model that takes no key it does not know and no infinite number, and does not change.

    Neither true nor "5" is a number. Files have lists alone, so that a field of tuples needs `Strict(False)`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
