"""Who contributed a folder of results, and when: records know the machine and the commit, and no names."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from fsbench.errors import RecordError, first_problem
from fsbench.files.reading import read_text
from fsbench.files.strict import LongText, StrictModel, Text
from fsbench.files.toml import parse_toml

__all__ = ["CONTRIBUTION_FILE", "Contribution", "read_contribution"]

CONTRIBUTION_FILE: Final = "contribution.toml"


class Contribution(StrictModel):
    """What stands beside the records of a folder about their origin.

    Attributes:
        by: A person or an organisation.
        date: Of the contribution.
        link: Where to read more; an address of the web.
    """

    by: Annotated[Text, Field(min_length=1)]
    date: datetime.date
    link: Annotated[LongText, Field(pattern="^https?://")] | None = None


def read_contribution(folder: Path) -> Contribution | None:
    """What `contribution.toml` in a folder says; None where there is none.

    Raises:
        RecordError: It cannot be read, or does not say what it should.
    """
    path = folder / CONTRIBUTION_FILE
    if not path.exists():
        return None
    try:
        return Contribution.model_validate(parse_toml(read_text(path)))
    except (OSError, ValueError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else error
        raise RecordError(f"{path} is no statement of a contribution ({problem}); it needs by and date.") from error
