from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fsbench.errors import OutputError
from fsbench.files.atomic import (
    atomic_path,
    canonical_json,
    make_folder,
    remove,
    set_aside,
    sha256_file,
    sha256_json,
    write_atomic,
)

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # sha256sum of "hello"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def assert_untouched(target: Path) -> None:
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_content_replaces_the_old_one(target: Path) -> None:
    write_atomic(target, "ñ")
    assert target.read_bytes() == "ñ".encode()
    write_atomic(target, b"\0")
    assert target.read_bytes() == b"\0"
    assert list(target.parent.iterdir()) == [target]


def test_folders_are_created_on_the_way(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "file", "new")
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_failing_block_changes_nothing(target: Path, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise interruption
    assert_untouched(target)


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_changes_nothing(target: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, full)
    why = r"(No space left on device|Disk quota exceeded)"
    with pytest.raises(OutputError, match=rf"cannot write .*file\.txt: {why}; nothing was changed\."):
        write_atomic(target, "new")
    monkeypatch.undo()
    assert_untouched(target)


def test_the_name_is_flushed_after_the_content(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[bool, str]] = []

    def noted(descriptor: int) -> None:
        flushed.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), target.read_text()))

    monkeypatch.setattr(os, "fsync", noted)
    write_atomic(target, "new")
    assert flushed == [(False, "old"), (True, "new")]


def test_a_file_system_that_cannot_flush_a_folder_is_written_all_the_same(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    write_atomic(target, "new")
    assert target.read_text() == "new"


def test_a_killed_writer_leaves_the_old_content(target: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from fsbench.files.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half of the n')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(list(target.parent.iterdir())) == 2
    write_atomic(target, "new")
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_without_a_number_is_told_too(target: Path) -> None:
    with pytest.raises(OutputError, match=r"file\.txt: 8 requested and 1 written; nothing"), atomic_path(target):
        raise OSError("8 requested and 1 written")
    assert_untouched(target)


def test_what_somebody_else_is_writing_is_left_alone(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("slow")
        write_atomic(target, "quick")
        assert target.read_text() == "quick"
    assert target.read_text() == "slow"
    assert list(target.parent.iterdir()) == [target]


def test_a_temporary_file_that_is_swept_before_it_is_locked_is_made_again(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweepers = [target.parent]

    def lock(file: int, operation: int) -> None:
        while sweepers:
            next(sweepers.pop().glob("*.tmp")).unlink()

    monkeypatch.setattr(fcntl, "flock", lock)
    write_atomic(target, "new")
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_mode_honours_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", "")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_file_in_place_of_the_folder_is_an_output_error(target: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot create the folder .*file\.txt: .*; choose another one\."):
        write_atomic(target / "file", "new")
    with pytest.raises(OutputError):
        make_folder(target)
    assert_untouched(target)


def test_a_folder_in_place_of_the_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_atomic(tmp_path / "taken", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_damaged_files_are_set_aside_under_free_names(target: Path) -> None:
    for content in "abc":
        target.write_text(content)
        set_aside(target)
    target.mkdir()
    assert set_aside(target).is_dir()
    aside = [target.with_name(f"file.txt.corrupt{ending}") for ending in ("", ".2", ".3", ".4")]
    assert sorted(target.parent.iterdir()) == aside
    assert [path.read_text() for path in aside[:3]] == ["a", "b", "c"]
    with pytest.raises(OutputError, match=r"cannot rename .*file\.txt: No such file or directory"):
        set_aside(target)


def test_a_folder_is_not_removed_but_set_aside(target: Path) -> None:
    remove(target)
    remove(target)
    assert not target.exists()
    target.mkdir()
    (target / "kept").write_text("dear")
    remove(target)
    assert (target.with_name("file.txt.corrupt") / "kept").read_text() == "dear"
    (target.parent / "file").write_text("")
    with pytest.raises(OutputError, match="Not a directory; check its permissions and run again"):
        remove(target.parent / "file" / "below")


def test_json_has_one_text() -> None:
    assert canonical_json({"b": 1, "a": ["ñ", 0.1]}) == '{"a":["ñ",0.1],"b":1}'.encode()
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1}) != sha256_json({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    assert sha256_file(tmp_path / "file") == HELLO
