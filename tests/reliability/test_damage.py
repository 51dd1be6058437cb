from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fsbench.engine.checkpoints import load_checkpoint, save_checkpoint
from fsbench.errors import RecordError
from fsbench.files.atomic import sha256_json
from fsbench.record_files import RecordStore
from helpers.factories import make_record
from reliability.folders import contents
from reliability.forks import Ended
from reliability.troubles import flip

pytestmark = pytest.mark.slow

FLIPS = 500

Run = Callable[..., Ended]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_a_bit(path: Path) -> None:
    flip(path, path.stat().st_size * 2 // 3, 0)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def swap_for_a_strange_end(path: Path) -> None:
    """Sound by its checksum, and nothing that a training ends with."""
    sign_anew(path, {"summary": {}})


def swap_for_a_strange_middle(path: Path) -> None:
    """Sound by its checksum, and nothing that a training goes on from."""
    sign_anew(path, {"progress": {"step": 10**9}})


def sign_anew(path: Path, header: dict[str, object]) -> None:
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        del content["checksum"]
        content["ci95"] = -1.0
        path.write_text(json.dumps(content | {"checksum": sha256_json(content)}))
    elif (found := load_checkpoint(path)) is not None:
        save_checkpoint(path, found[0], header)


DAMAGES = (empty, halve, change_a_bit, replace_by_a_folder, swap_for_a_strange_end, swap_for_a_strange_middle)


@pytest.fixture
def out(one_cell: Path, tmp_path: Path) -> Path:
    return shutil.copytree(one_cell, tmp_path / "out")


def whole(out: Path) -> dict[str, object]:
    """Its contents without what was set aside."""
    return {name: content for name, content in contents(out).items() if ".corrupt" not in name}


@pytest.mark.parametrize("part", range(20))
def test_a_record_cut_at_any_twentieth_is_damaged(part: int, tmp_path: Path) -> None:
    store, record = RecordStore(tmp_path), make_record()
    path = store.write(record)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * part // 20])
    with pytest.raises(RecordError, match=f"the record {path} is damaged"):
        store.find(record.identity)


def test_any_changed_bit_of_a_record_is_damage(tmp_path: Path, tally: Counter[str]) -> None:
    store, record, draw = RecordStore(tmp_path), make_record(), random.Random(0)
    path = store.write(record)
    content, noticed = path.read_bytes(), 0
    for _ in range(FLIPS):
        path.write_bytes(content)
        flip(path, draw.randrange(len(content)), draw.randrange(8))
        try:
            assert store.find(record.identity) == record  # 1e-05 is 1E-05
        except RecordError:
            noticed += 1
    assert noticed > 0.99 * FLIPS
    tally["changed bits of records, noticed"] += noticed


def test_any_changed_bit_of_a_checkpoint_is_damage(out: Path, tally: Counter[str]) -> None:
    path, draw, noticed = next(out.glob("checkpoints/*.safetensors")), random.Random(0), 0
    content, before = path.read_bytes(), load_checkpoint(path)
    assert before is not None
    for _ in range(FLIPS):
        path.write_bytes(content)
        flip(path, draw.randrange(len(content)), draw.randrange(8))
        try:
            found = load_checkpoint(path)
        except RecordError:
            noticed += 1
        else:
            assert found is not None
            assert found[1] == before[1]
            assert all(tensor.equal(before[0][name]) for name, tensor in found[0].items())
    assert noticed > 0.95 * FLIPS  # the header is padded
    tally["changed bits of checkpoints, noticed"] += noticed


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_set_aside_and_done_again(damage: Callable[[Path], None], run_one: Run, out: Path) -> None:
    before = contents(out)
    hurt = [next(out.glob(pattern)) for pattern in ("records/*.json", "checkpoints/*.safetensors")]
    for path in hurt:
        damage(path)
    remains = {path: None if path.is_dir() else path.read_bytes() for path in hurt}
    ended = run_one(out)
    assert ended.code == 0, ended.stderr
    for path, content in remains.items():
        aside = path.with_name(f"{path.name}.corrupt")
        assert f" {path} is damaged" in ended.stderr
        assert f"set aside as {aside.name} and done again." in ended.stderr
        assert aside.is_dir() if content is None else aside.read_bytes() == content
    assert whole(out) == before


def test_what_was_set_aside_before_is_kept(run_one: Run, out: Path) -> None:
    before = contents(out)
    for damage in (replace_by_a_folder, replace_by_a_folder, halve, empty):
        for pattern in ("records/*.json", "checkpoints/*.safetensors"):
            damage(next(out.glob(pattern)))
        ended = run_one(out)
        assert ended.code == 0, ended.stderr
        assert whole(out) == before
    for folder in ("records", "checkpoints"):
        aside = sorted(path.name.rpartition(".corrupt")[2] for path in (out / folder).glob("*.corrupt*"))
        assert aside == ["", ".2", ".3", ".4"]


def test_the_record_of_a_later_version_stays_where_it_is(run_one: Run, out: Path) -> None:
    path = next(out.glob("records/*.json"))
    content = json.loads(path.read_text()) | {"schema_version": 3, "novelty": True}
    path.write_text(json.dumps(content))
    before = contents(out)
    assert run_one(out).refusal == f"the record {path} has schema 3, newer than 2; update fsbench."
    assert contents(out) == before
