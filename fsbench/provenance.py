"""The suite of a run, written beside its records: which rows, sources and shots there are, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from fsbench.errors import RecordError
from fsbench.files.atomic import write_atomic
from fsbench.files.reading import read_text

__all__ = ["SUITE_FILE", "SUITE_SCHEMA", "SuiteOrder", "SuiteRow", "read_suite_order", "write_suite_order"]

SUITE_FILE: Final = "suite.json"
SUITE_SCHEMA: Final = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SuiteRow(_Model):
    """A row of the suite: its key, and its name in tables (None: the method's own)."""

    row: str
    label: str | None = None


class SuiteOrder(_Model):
    """The suite that the records of a folder belong to, in the order of its file.

    Attributes:
        schema_version: Of the file.
        name: The suite's.
        title: The suite's.
        rows: All rows of the suite, whether a run measured them or not.
        sources: All test sources.
        shots: All test shots.
        suite: The whole suite as it was resolved, for whoever reads the records later.
    """

    schema_version: int = SUITE_SCHEMA
    name: str
    title: str
    rows: tuple[SuiteRow, ...]
    sources: tuple[str, ...]
    shots: tuple[int, ...]
    suite: dict[str, Any]


def write_suite_order(folder: Path, order: SuiteOrder) -> None:
    """Write a suite beside the records of a folder, in one step.

    Raises:
        OutputError: The folder cannot be written.
    """
    text = json.dumps(order.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / SUITE_FILE, text + "\n")


def read_suite_order(folder: Path) -> SuiteOrder | None:
    """The suite beside the records of a folder; None where a run of an earlier version left none.

    Raises:
        RecordError: The file is damaged, or a later version of fsbench wrote it.
    """
    path = folder / SUITE_FILE
    if not path.exists():
        return None
    try:
        content = json.loads(read_text(path))
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > SUITE_SCHEMA:
            raise RecordError(f"{path} has schema {version}, newer than {SUITE_SCHEMA}; update fsbench.")
        return SuiteOrder.model_validate(content)
    except (OSError, ValueError, RecursionError) as error:
        problem = "does not say what a suite says" if isinstance(error, ValidationError) else type(error).__name__
        raise RecordError(f"{path} is damaged ({problem}); run again in this folder to write it again.") from error
