from __future__ import annotations

import json
import math
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsbench.errors import OutputError, RecordError
from fsbench.files.atomic import sha256_json
from fsbench.identity import CellIdentity, cell_id
from fsbench.provenance import SUITE_FILE
from fsbench.record_files import RecordStore, read_record, record_files
from fsbench.text import printable
from helpers.factories import make_record


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "records")


@pytest.fixture
def written(store: RecordStore) -> Path:
    return store.write(make_record())


def test_a_record_is_found_by_its_identity(store: RecordStore) -> None:
    record, other = make_record(), make_record(shot=5)
    path = store.write(record)
    assert path == store.path(record.identity)
    assert store.find(record.identity) == read_record(path) == record
    assert store.find(other.identity) is None


def test_a_record_that_another_run_has_put_aside_meanwhile_is_no_error(
    store: RecordStore, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_record(training="another").identity

    def late(path: Path, _: Path) -> None:
        path.unlink(missing_ok=True)
        raise OutputError("cannot rename it")

    monkeypatch.setattr("fsbench.record_files.rename", late)
    assert store.supersede_others([other]) == 1
    store.write(make_record())
    monkeypatch.setattr("fsbench.record_files.rename", lambda *_: late(Path("elsewhere"), Path()))
    with pytest.raises(OutputError, match="cannot rename"):
        store.supersede_others([other])


@settings(deadline=None, max_examples=25)
@given(
    correct=st.lists(st.integers(0, 75), min_size=2, max_size=30),
    label=st.text(max_size=9).filter(lambda text: printable(text) == text),
    seconds=st.floats(0, 1e9),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, correct: list[int], label: str, seconds: float
) -> None:
    record = make_record(correct=correct).model_copy(update={"label": label, "timings": {"training": seconds}})
    assert read_record(RecordStore(tmp_path_factory.mktemp("records")).write(record)) == record


def test_the_name_of_a_record_is_one_for_every_system(tmp_path: Path) -> None:
    record = make_record("ProtoNet", source="omniglot:metadataset")
    assert RecordStore(tmp_path).write(record).name.startswith("protonet-omniglot-metadataset-5way-1shot-seed0-")
    assert RecordStore(tmp_path).find(record.identity) == record


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99, 0.999])
def test_a_truncated_record_is_damaged(written: Path, part: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(part * len(content))])
    with pytest.raises(RecordError, match="is damaged"):
        read_record(written)


def test_a_flipped_bit_anywhere_is_noticed(written: Path) -> None:
    content, record = written.read_bytes(), read_record(written)
    for position in range(0, len(content), 37):
        changed = bytearray(content)
        changed[position] ^= 1
        written.write_bytes(changed)
        try:
            assert read_record(written) == record  # white space between values may differ
        except RecordError:
            continue


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", "7", '"text"', '{"schema_version": "1"}', "\x00"])
def test_anything_else_is_damaged(written: Path, content: str) -> None:
    written.write_text(content)
    with pytest.raises(RecordError, match="is damaged"):
        read_record(written)


def test_a_folder_in_its_place_is_damaged(store: RecordStore, written: Path) -> None:
    written.unlink()
    written.mkdir()
    with pytest.raises(RecordError, match="is damaged"):
        store.find(make_record().identity)


def test_a_changed_number_with_a_new_checksum_of_another_cell_is_noticed(written: Path) -> None:
    content = json.loads(written.read_text())
    del content["checksum"]
    content["identity"]["train_seed"] = 9
    written.write_text(json.dumps(content | {"checksum": sha256_json(content)}))
    with pytest.raises(RecordError, match="its identity does not fit its name"):
        read_record(written)


def sign(path: Path, change: dict[str, object]) -> None:
    """Rewrite a record with other values, under dotted names, and a checksum and a name that fit."""
    content = json.loads(path.read_text())
    del content["checksum"]
    for keys, value in change.items():
        *parents, last = keys.split(".")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    with suppress(ValueError):  # a value that no JSON can say
        content["cell"] = cell_id(CellIdentity.model_construct(**content["identity"]))
    checksum = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    with suppress(ValueError):
        checksum = sha256_json(content)
    path.write_text(json.dumps(content | {"checksum": checksum}))


@pytest.mark.parametrize(
    "change",
    [
        {"identity.params": {"rate": math.nan}},
        {"identity.params": {"rate": [math.inf]}},
        {"identity.backbone": {"name": "conv4", "width": math.nan}},
        {"identity.backbone": "conv4"},
        {"identity.images": {}},
        {"identity.images": {"size": [28], "channels": 1}},
        {"identity.images": {"size": 28, "channels": {"a": 1}}},
        {"identity.images": {"size": "28", "channels": 1}},
        *({f"identity.{name}": value} for name in ("way", "shot", "queries") for value in (-5, 0, 10**9, 2**70)),
        *({"identity.training_fraction": value} for value in (-1.0, 0.0, 2.0, 1e308)),
        *({name: value} for name in ("identity.episode_seed", "identity.train_seed") for value in (2**70, -(10**400))),
        {"identity.classes_left_out": -1},
        {"identity.engine": -1},
        {"identity.train_sources": ["a" * 201]},
        *({name: "a" * 100_000} for name in ("label", "identity.row", "identity.source", "identity.partial")),
        {"absent": {"fungi": "a" * 100_000}},
        *({"ci95": value} for value in (-1.0, 0.0, 1e308, 5.0)),
        {"mean": 50.0},
        *({"features": value} for value in (-1, 0, 2**60)),
        *({"training.best_accuracy": value} for value in (-1.0, 1e308)),
        *({f"training.{name}": -1} for name in ("steps", "planned_steps", "best_step", "parameters", "frozen")),
        {"training.history": [{"step": -1, "loss": 0.1, "accuracy": 90.0}]},
        {"training.history": [{"step": 1, "loss": 0.1, "accuracy": 101.0}]},
        {"timings": {"training": -1.0}},
        {"environment.device": "a" * 201},
        {"correct": [60], "total": [75], "identity.episodes": 1, "mean": 80.0, "ci95": 0.0},
    ],
    ids=str,
)
def test_a_sound_checksum_over_strange_values_is_damage(written: Path, change: dict[str, object]) -> None:
    sign(written, {})
    assert read_record(written) == make_record()
    sign(written, change)
    with pytest.raises(RecordError, match="is damaged"):
        read_record(written)


def test_the_record_of_another_cell_is_refused(store: RecordStore, written: Path) -> None:
    other = make_record(shot=5).identity
    written.rename(store.path(other))
    with pytest.raises(RecordError, match="belongs to another cell"):
        store.find(other)


def test_a_newer_schema_is_refused(written: Path) -> None:
    content = json.loads(written.read_text())
    written.write_text(json.dumps(content | {"schema_version": 3, "novelty": True}))
    with pytest.raises(RecordError, match=r"has schema 3, newer than 2; update fsbench\."):
        read_record(written)


def test_the_files_of_an_out_folder_or_of_its_records_are_those_of_records(store: RecordStore, written: Path) -> None:
    (store.folder.parent / SUITE_FILE).write_text("{}")
    assert record_files(store.folder.parent) == record_files(store.folder) == [written]


def test_before_the_first_record_an_out_folder_has_none(tmp_path: Path) -> None:
    """A run writes its suite first."""
    (tmp_path / SUITE_FILE).write_text("{}")
    assert record_files(tmp_path) == []
