"""Whatever lies where a file should: it is read if it is a regular file of bounded size, and never waited for."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fsbench
from fsbench.data.card import Card, read_toml
from fsbench.data.coco import read_labels
from fsbench.data.pack_files import load_pack
from fsbench.data.sources.folder import read_rule
from fsbench.data.sources.miniimagenet import _read as read_lines
from fsbench.data.specification import read_specification
from fsbench.data.tfrecords import index_records
from fsbench.engine.checkpoints import load_checkpoint
from fsbench.episodes.files import read_episodes
from fsbench.errors import FsbenchError
from fsbench.files.arrays import open_array
from fsbench.files.code import load_file
from fsbench.files.reading import open_regular, read_bytes, read_text
from fsbench.files.tree import open_tree
from fsbench.provenance import read_suite_order
from fsbench.record_files import read_record
from fsbench.report.ranking import rank_file
from fsbench.report.redrawn import packs_at_hand
from fsbench.suite_files import load_suite
from helpers.commands import fsbench as command

READERS: dict[str, Callable[[Path], object]] = {
    "r.json": read_record,
    "c.safetensors": load_checkpoint,
    "pack.json": lambda path: load_pack(path.parent),
    "suite.json": lambda path: read_suite_order(path.parent),
    "s.toml": lambda path: load_suite(str(path)),
    "card.toml": lambda path: read_toml(path, Card),
    "splits.toml": lambda path: read_rule(path, (0.6, 0.2, 0.2), 0),
    "splits.json": lambda path: read_rule(path, (0.6, 0.2, 0.2), 0),
    "e.npz": read_episodes,
    "e.json": read_episodes,
    "ranks.csv": rank_file,
    "train.csv": read_lines,
    "dataset_spec.json": read_specification,
    "labels.json": read_labels,
    "0.tfrecords": index_records,
    "birds.zip": lambda path: open_tree(path).__enter__().read("a.png"),
    "a.png": lambda path: open_tree(path.parent).__enter__().read(path.name),
    "method.py": load_file,
}


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("target", ["pipe", "/dev/zero", "/dev/tty", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(pipe: Path, name: str, target: str) -> None:
    (pipe.parent / "folder").mkdir()
    (pipe.parent / "folder" / name).symlink_to(pipe.parent / target)
    with pytest.raises(FsbenchError):
        READERS[name](pipe.parent / "folder" / name)


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"0.tfrecords", "birds.zip", "e.npz"}))
def test_a_file_without_end_is_not_read(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(FsbenchError):
        READERS[name](tmp_path / name)


def test_what_is_read_is_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("äb\r\n".encode())
    assert read_bytes(path, 5) == "äb\r\n".encode()
    assert read_text(path) == "äb\r\n"
    with pytest.raises(OSError, match="it has 5 bytes, more than 4"):
        read_bytes(path, 4)
    path.write_bytes(b"")
    assert read_bytes(path, 0) == b""


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path, pipe: Path) -> None:
    for path in (tmp_path / "absent", tmp_path / ("a" * 300), Path("a\0b"), tmp_path, pipe, Path("/proc/self/environ")):
        with pytest.raises(OSError):
            read_bytes(path)
    with pytest.raises(ValueError, match="no regular file"):
        open_array(pipe)


def test_nothing_stays_open(tmp_path: Path, pipe: Path) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    np.save(tmp_path / "a.npy", np.zeros(3))
    before = opened()
    for path in (tmp_path / "a.npy", pipe, tmp_path):
        try:
            with open_regular(path):
                assert opened() == before + 1
        except OSError:
            continue
    assert opened() == before


def test_a_pipe_in_the_cache_is_no_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path))
    (tmp_path / "packs" / "mine-8px").mkdir(parents=True)
    os.mkfifo(tmp_path / "packs" / "mine-8px" / "pack.json")
    assert packs_at_hand() == {}
    assert "mine" in command("data", "list").output


def test_a_pipe_among_the_records_is_a_damaged_record(tmp_path: Path, pipe: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder / "records").mkdir(parents=True)
        (tmp_path / folder / "records" / "z.json").symlink_to(pipe)
    assert command("compare", tmp_path / "old", tmp_path / "new").exit_code == 4
    assert command("table", tmp_path / "old").exit_code == 2


_READING = re.compile(r"(^|\.)(open|read_bytes|read_text|read_csv|loadtxt|fromfile|safe_open|FileIO)$|\.load$")
_KNOWN = {  # what reads or opens in another way, and why
    "backbones/weights.py": ["torch.load"],  # bytes in memory
    "cli/compare.py": ["path.open"],  # appends
    "cli/main.py": ["os.open"],  # the null device
    "data/images.py": ["Image.open"],  # bytes in memory
    "data/prepared.py": ["path.open"],  # writes
    "data/sources/registry.py": ["point.load"],
    "data/words.py": ["file.read_text"],  # of the package itself
    "episodes/files.py": ["np.load", "temporary.open"],  # an opened file; writes
    "files/atomic.py": ["left.open", "os.open"],  # writes
    "files/locks.py": ["os.open"],  # writes
    "files/pickled.py": ["_Unpickler(io.BytesIO(content), encoding='latin1').load"],  # bytes in memory
    "files/reading.py": ["os.open"],
    "files/tree.py": ["self._archive.open"],  # an opened archive
    "plugins.py": ["point.load"],
    "published/citations.py": ["(resources.files('fsbench.published') / 'papers.bib').read_text"],
    "published/results.py": ["file.read_text"],  # of the package itself
    "run/environment.py": ["_DRIVER.read_text"],  # of the system
    "run/machine.py": ["Path('/proc/cpuinfo').read_text"],
    "files/bases.py": ["file.read_text"],  # of a package
}


def readers_in(source: str) -> Iterator[str]:
    """The calls in a module that may open or read a file, but for the guarded ones."""
    for node in ast.walk(ast.parse(source)):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if _READING.search(called) and called not in ("read_bytes", "read_text"):
            yield called


def test_nothing_is_read_in_another_way() -> None:
    package = Path(fsbench.__file__).parent
    found = {
        str(path.relative_to(package)): sorted(some)
        for path in sorted(package.rglob("*.py"))
        if (some := set(readers_in(path.read_text("utf-8"))))
    }
    assert found == _KNOWN
