"""The files of records: the store of an out folder, which keeps them whole, and the reading of any."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import from_json  # three times as fast as json.loads

from fsbench.errors import NewerRecordError, OutputError, RecordError, first_problem
from fsbench.files.atomic import canonical_json, rename, sha256_json, write_atomic
from fsbench.files.reading import read_bytes
from fsbench.identity import CellIdentity, cell_id
from fsbench.provenance import SUITE_FILE
from fsbench.records import RECORD_SCHEMA, Record

__all__ = ["RecordStore", "read_record", "reading_many", "record_files"]

_SEED: Final = re.compile(r"-seed(\d+)-[0-9a-f]{12}\.json$")
_AGAIN: Final = "get it again, or delete it and run again."
_LARGEST: Final = 2**24  # bytes; a record of the most episodes has a twelfth of them


class RecordStore:
    """The records of one out folder, one JSON file a cell.

    A file counts only if it is whole: its checksum fits, its identity hashes to its name, its schema is
    known. That a file exists means nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, identity: CellIdentity) -> Path:
        """Where the record of a cell lies: readable name first, then the hash of its identity."""
        kind = "variable" if identity.shot is None else f"{identity.way or 'all'}way-{identity.shot}shot"
        source = identity.source.replace(":", "-")  # which no file of Windows may have in its name
        slug = f"{identity.row}-{source}-{kind}-seed{identity.train_seed}"
        return self.folder / f"{slug}-{cell_id(identity)[:12]}.json"

    def write(self, record: Record) -> Path:
        """Write a record in one step and return its path.

        Raises:
            OutputError: The folder cannot be written.
        """
        content = canonical_json(record.model_dump(mode="json"))
        path = self.path(record.identity)
        write_atomic(path, content[:-1] + _ending(sha256(content).hexdigest()))
        return path

    @property
    def seeds(self) -> int:
        """One more than the highest training seed that the name of a record tells."""
        told = (_SEED.search(path.name) for path in self.folder.glob("*.json"))
        return max((int(seed[1]) + 1 for seed in told if seed), default=0)

    def supersede_others(self, identities: Iterable[CellIdentity]) -> int:
        """Rename what other settings gave for the rows, sources, ways, shots and seeds of cells to `<name>.superseded`.

        Only one record of those has a place in a table.

        Returns:
            How many.

        Raises:
            OutputError: The folder cannot be written.
        """
        own = {self.path(identity).name for identity in identities}
        stems = {name.rpartition("-")[0] for name in own}
        found = [path for path in self.folder.glob("*.json") if path.name not in own]
        others = [path for path in found if path.name.rpartition("-")[0] in stems]
        for path in others:
            try:
                rename(path, path.with_name(f"{path.name}.superseded"))
            except OutputError:
                if path.exists():  # else another run of the same command was faster
                    raise
        return len(others)

    def find(self, identity: CellIdentity) -> Record | None:
        """The finished record of a cell, or None when there is none.

        Raises:
            RecordError: There is a file, but it is damaged.
            NewerRecordError: A later version of fsbench wrote it.
        """
        path = self.path(identity)
        if not path.exists():
            return None
        record = read_record(path)
        if record.identity != identity:
            raise RecordError(f"the record {path} belongs to another cell; move it away and run again.")
        return record


def record_files(folder: Path) -> list[Path]:
    """The files of the records of an out folder, or of a folder of records.

    A run writes its suite before its first record; until then its out folder has none.
    """
    inner = folder / "records"
    return sorted((inner if inner.is_dir() or (folder / SUITE_FILE).exists() else folder).glob("*.json"))


@contextmanager
def reading_many() -> Iterator[None]:
    """Pause the garbage collector: thousands of records are no garbage, and it would look at them again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_record(path: Path) -> Record:
    """Read one record and check it.

    Raises:
        RecordError: It is damaged.
        NewerRecordError: A later version of fsbench wrote it.
    """
    try:
        data = read_bytes(path, _LARGEST)
        content = from_json(data)
        version = content["schema_version"]
        if isinstance(version, int) and version > RECORD_SCHEMA:
            raise NewerRecordError(
                f"the record {path} has schema {version}, newer than {RECORD_SCHEMA}; update fsbench."
            )
        checksum = content.pop("checksum")
        # As written, the file is canonical already, which is far faster to hash; anything else has to be made so.
        as_written = data.removesuffix(_ending(checksum)) + b"}"
        if sha256(as_written).hexdigest() != checksum != sha256_json(content):
            raise RecordError(f"the record {path} is damaged (its checksum does not fit its content); {_AGAIN}")
        record = Record.model_validate(content)
        whole = record.cell == cell_id(record.identity)  # there is none of what no JSON can say
    except ValidationError as error:
        raise RecordError(f"the record {path} is damaged ({first_problem(error)}); {_AGAIN}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"the record {path} is damaged ({type(error).__name__}); {_AGAIN}") from error
    if not whole:
        raise RecordError(f"the record {path} is damaged (its identity does not fit its name); {_AGAIN}")
    return record


def _ending(checksum: str) -> bytes:
    """How a record's file ends, instead of with the brace that closes the canonical JSON of its content."""
    return f',"checksum":"{checksum}"}}\n'.encode()
