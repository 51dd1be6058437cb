from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fsbench.cli.main import main
from fsbench.data.places import data_root, own_packs, source_files
from fsbench.data.prepare import ensure_pack, pack_folder, prepare_own, verify
from fsbench.data.sources.folder import OwnSource
from fsbench.errors import DataError, DataNotFoundError, OutputError, UsageError

SLOWLY = """
import logging, sys, time
from pathlib import Path
from fsbench.data.prepare import prepare_own
from fsbench.data.sources.folder import OwnSource

origin, log = map(Path, sys.argv[1:])

def write(record):
    line = record.getMessage()
    with log.open("a") as file:
        file.write(line + "\\n")
    deadline = time.monotonic() + 30
    while line.startswith("reading") and "waiting" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)

logging.getLogger("fsbench").setLevel("INFO")
logging.getLogger("fsbench").addFilter(lambda record: write(record) or True)
prepare_own("birds", origin, OwnSource(size=8))
"""


def test_of_two_processes_one_prepares_and_one_waits(birds: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLOWLY, str(birds), str(log)]  # does not read on before somebody waits
    workers = [subprocess.Popen(command) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert sorted(line.split()[0] for line in log.read_text().splitlines()) == ["birds:", "reading"]
    assert len(verify("birds").images) == 30


def test_a_cached_pack_needs_no_files(characters: Path) -> None:
    digest = ensure_pack("omniglot", data_root=characters).digest
    shutil.rmtree(characters)
    assert ensure_pack("omniglot", data_root=characters).digest == digest
    with pytest.raises(DataNotFoundError):
        ensure_pack("omniglot", data_root=characters, fresh=True)
    assert ensure_pack("omniglot", data_root=characters).digest == digest


def test_a_preparation_that_failed_can_be_repeated(characters: Path) -> None:
    hidden = (characters / "omniglot" / "images_evaluation").rename(characters / "elsewhere")
    with pytest.raises(DataNotFoundError):
        ensure_pack("omniglot", data_root=characters)
    hidden.rename(characters / "omniglot" / "images_evaluation")
    assert len(ensure_pack("omniglot", data_root=characters).images) == 480


def test_files_are_looked_for_below_the_argument_then_the_environment_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_root() == Path("datasets")
    monkeypatch.setenv("FSBENCH_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(Path("there")) == Path("there")


def test_a_source_is_looked_for_in_its_folder_or_zip_and_then_in_meta_dataset(tmp_path: Path) -> None:
    assert source_files("dtd", tmp_path) == tmp_path / "dtd"  # where it should be
    (tmp_path / "meta_dataset").mkdir()
    (tmp_path / "dtd.tar").touch()
    for place in ("meta_dataset/dtd.zip", "meta_dataset/dtd", "dtd.zip", "dtd"):  # each goes before the last
        (tmp_path / place).touch()
        assert source_files("dtd", tmp_path) == tmp_path / place
    assert source_files("dtd_2", tmp_path) == tmp_path / "dtd_2"


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "dtd").mkdir()
    (tmp_path / "dtd.zip").touch()
    assert source_files("dtd", tmp_path) == tmp_path / "dtd.zip"
    (tmp_path / "dtd" / "images").mkdir()
    assert source_files("dtd", tmp_path) == tmp_path / "dtd"


def test_packs_lie_in_the_cache_by_name_variant_and_size(cache: Path) -> None:
    assert pack_folder("omniglot") == pack_folder("omniglot:vinyals") == cache / "packs" / "omniglot-28px"
    assert pack_folder("omniglot:original", 32) == cache / "packs" / "omniglot-original-32px"


@pytest.mark.parametrize("function", [ensure_pack, pack_folder, verify])
def test_an_unknown_source_names_the_nearest_one(function: object, birds: Path) -> None:
    assert callable(function)
    prepare_own("birds", birds, OwnSource(size=8))
    with pytest.raises(UsageError, match=r"unknown source 'bird'; .* --from FOLDER`; did you mean 'birds'"):
        function("bird")
    with pytest.raises(UsageError, match="variant of omniglot 'vinyls'; did you mean 'vinyals'"):
        function("omniglot:vinyls")


def test_verify_finds_a_flipped_byte(characters: Path) -> None:
    pack = ensure_pack("omniglot", data_root=characters)
    assert verify("omniglot").digest == pack.digest
    path = pack.folder / "images.npy"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged \(images.npy does not match its hash\)"):
        verify("omniglot")
    os.utime(pack.folder / "pack.json")  # as if nothing were younger, where opening the pack does not look
    assert ensure_pack("omniglot").digest == pack.digest
    with pytest.raises(DataError, match=r"damaged \(images.npy does not match its hash\)"):
        verify("omniglot")


def test_verify_compares_the_counts_with_the_card(characters: Path, small_cards: Path) -> None:
    ensure_pack("omniglot", data_root=characters)
    path = small_cards / "omniglot" / "card.toml"
    card = path.read_text()
    path.write_text(card.replace("val = 4", "val = 5"))
    with pytest.raises(DataError, match="has 4 val classes instead of 5; run `fsbench data prepare omniglot --fresh`"):
        verify("omniglot")
    path.write_text(card.replace("images = 480", "images = 481"))
    with pytest.raises(DataError, match="has 480 images instead of 481"):
        verify("omniglot")


def test_verify_says_what_is_not_prepared(small_cards: Path) -> None:
    with pytest.raises(DataNotFoundError, match="run `fsbench data prepare omniglot:original` first"):
        verify("omniglot:original")


def test_an_own_source_is_found_by_its_name(birds: Path) -> None:
    pack = prepare_own("birds", birds, OwnSource(size=8))
    assert ensure_pack("birds").digest == pack.digest
    assert list(own_packs()) == ["birds"]
    prepare_own("birds", birds, OwnSource(size=16))
    assert ensure_pack("birds", size=16).images.shape[-1] == 16
    with pytest.raises(UsageError, match="with 8 and 16 pixels; use --size"):
        ensure_pack("birds")
    with pytest.raises(
        UsageError,
        match=r"with 8 and 16 pixels, not 40; .*: fsbench data prepare birds --from FOLDER --size 40\.$",
    ):
        ensure_pack("birds", size=40)


def test_an_own_source_is_not_replaced_unasked(birds: Path) -> None:
    digest = prepare_own("birds", birds, OwnSource(size=8)).digest
    assert prepare_own("birds", birds, OwnSource(size=8)).digest == digest
    with pytest.raises(UsageError, match="birds is already prepared with other settings; add --fresh"):
        prepare_own("birds", birds, OwnSource(size=8, seed=1))
    assert ensure_pack("birds").digest == digest
    next(birds.rglob("*.png")).unlink()
    with pytest.raises(UsageError, match="birds is already prepared from other files; add --fresh"):
        prepare_own("birds", birds, OwnSource(size=8))
    assert prepare_own("birds", birds, OwnSource(size=8), fresh=True).digest != digest


def test_another_size_of_an_own_source_has_the_same_split(birds: Path, tmp_path: Path) -> None:
    drawn = OwnSource(size=8, fractions=(0.5, 0.3, 0.2), seed=3)
    splits = prepare_own("birds", birds, drawn).splits
    with pytest.raises(
        UsageError,
        match=r"birds is prepared with 8 pixels and other classes in train.*; use --fractions 0\.5,0\.3,0\.2 --seed 3",
    ):
        prepare_own("birds", birds, OwnSource(size=16))
    with pytest.raises(UsageError, match="birds is prepared with 8 pixels and other classes in"):
        prepare_own("birds", birds, OwnSource(size=16), fresh=True)  # there is nothing that it replaces
    assert list(own_packs()["birds"]) == [8]
    assert prepare_own("birds", birds, replace(drawn, size=16)).splits == splits
    listed = tmp_path / "splits.json"
    listed.write_text(json.dumps({s: [f"bird{label:02}" for label in labels] for s, labels in splits.items()}))
    assert prepare_own("birds", birds, OwnSource(size=32, splits=listed)).splits == splits  # however it was made


def test_another_size_of_a_listed_or_grown_source_names_what_to_do(birds: Path, tmp_path: Path) -> None:
    names = [f"bird{label:02}" for label in range(10)]
    listed = tmp_path / "splits.json"
    listed.write_text(json.dumps({"train": names[:5], "val": names[5:7], "test": names[7:]}))
    prepare_own("listed", birds, OwnSource(size=8, splits=listed))
    with pytest.raises(UsageError, match="give the list of --splits that it has there, or choose another name"):
        prepare_own("listed", birds, OwnSource(size=16))
    prepare_own("drawn", birds, OwnSource(size=8))
    shutil.copytree(birds / "bird00", birds / "bird10")
    with pytest.raises(UsageError, match="its files were others then, so prepare that size again by --fresh first"):
        prepare_own("drawn", birds, OwnSource(size=16))


def test_a_split_is_replaced_size_by_size(birds: Path, caplog: pytest.LogCaptureFixture) -> None:
    for size in (8, 16):
        prepare_own("birds", birds, OwnSource(size=size))
    before = ensure_pack("birds", size=16).digest
    prepare_own("birds", birds, OwnSource(size=8, seed=1), fresh=True)
    assert "birds has other classes in train with 8 pixels now than with 16; prepare that size again" in caplog.text
    assert ensure_pack("birds", size=16).digest == before
    caplog.clear()
    prepare_own("birds", birds, OwnSource(size=16, seed=1), fresh=True)
    assert "other classes" not in caplog.text


def test_a_damaged_pack_of_another_size_is_in_nobodys_way(birds: Path) -> None:
    pack = prepare_own("birds", birds, OwnSource(size=8, seed=1))
    (pack.folder / "labels.npy").write_bytes(b"")
    assert prepare_own("birds", birds, OwnSource(size=16)).images.shape[-1] == 16


def test_an_own_source_is_prepared_again_from_its_files_only(birds: Path) -> None:
    prepare_own("birds", birds, OwnSource(size=8))
    with pytest.raises(UsageError, match="run `fsbench data prepare birds --from PATH`"):
        ensure_pack("birds", fresh=True)


def test_a_cache_that_cannot_be_written_is_named(birds: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(OutputError, match=f"{cache}"):
        prepare_own("birds", birds, OwnSource(size=8))


@pytest.mark.parametrize("name", ["my-birds", "../birds", "", "omniglot"])
def test_an_own_source_needs_a_name_of_its_own(birds: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name!r}"):
        prepare_own(name, birds)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def test_the_commands_prepare_list_and_verify(characters: Path, birds: Path) -> None:
    assert "vinyals (not prepared), original (not prepared)" in run("list").output
    done = run("prepare", "omniglot", "--data-root", characters)
    assert done.exit_code == 0
    assert "omniglot: 480 images, classes: 12 train, 4 val, 8 test" in done.output
    assert run("prepare", "birds", "--from", birds, "--size", 8, "--channels", 1, "--seed", 3).exit_code == 0
    assert ensure_pack("birds").images.shape == (30, 1, 8, 8)
    listed = run("list").output
    assert "vinyals (prepared), original (not prepared)" in listed
    assert "birds" in listed
    assert f"intact, SHA-256 {ensure_pack('birds').digest}" in run("verify", "birds").output


def test_prepare_from_a_folder_of_the_archives(characters: Path) -> None:
    done = run("prepare", "omniglot:original", "--from", characters / "omniglot")
    assert "2 train, 2 val, 2 test" in done.output


def test_a_source_that_is_drawn_takes_no_files() -> None:
    done = run("prepare", "glyphs", "--from", "nowhere")
    assert "glyphs is drawn, and has no files for --from nowhere; leave --from out." in done.output


def test_the_command_draws_by_the_given_fractions(birds: Path) -> None:
    assert "5 train, 3 val, 2 test" in run("prepare", "birds", "--from", birds, "--fractions", "0.5,0.3,0.2").output
    assert "not three numbers" in run("prepare", "birds", "--from", birds, "--fractions", "0.5,0.5").output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["prepare", "omniglot", "--seed", "1"], "--seed is for sources of your own"),
        (["prepare", "omniglot", "--skip-unreadable"], "--skip-unreadable is for sources of your own"),
        (["prepare", "birds"], "unknown source 'birds'; for images of your own use --from FOLDER; known: omniglot"),
        (["prepare", "omniglt"], "for images of your own use --from FOLDER; did you mean 'omniglot'?"),
        (["prepare", "birds", "--seed", "1"], "unknown source 'birds'; for images of your own use --from FOLDER"),
        (["prepare", "birds", "--from", "nowhere"], "nowhere does not exist"),
        (["prepare", "birds", "--from", "nowhere", "--download"], "--download fetches"),
        (["prepare", "omniglot", "--from", "nowhere", "--download"], "and --download says otherwise; leave one out"),
        (["verify", "nothing"], "unknown source 'nothing'"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    small_cards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    failed = run(*arguments)
    assert failed.exit_code == 2
    sentence = failed.stderr.rpartition("Error: ")[2].strip()
    assert complaint in sentence
    assert "\n" not in sentence


def test_a_folder_that_does_not_exist_is_named_though_its_source_is_prepared(birds: Path, characters: Path) -> None:
    prepare_own("birds", birds, OwnSource(size=8))
    ensure_pack("omniglot", data_root=characters)
    for words in (("birds", "--size", 8), ("omniglot",)):
        failed = run("prepare", *words, "--from", "nope")
        assert failed.exit_code == 2
        assert f"nope does not exist, though {words[0]} is already prepared in " in failed.stderr
    failed = run("prepare", "birds", "--seed", 1)
    assert "--seed needs the images of 'birds'; use --from FOLDER." in failed.stderr


def test_the_commands_load_nothing_heavy() -> None:
    code = "import sys, fsbench.cli.data; print(sorted({'numpy', 'PIL', 'pydantic', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_images_of_a_class_are_neighbours(birds: Path) -> None:
    pack = prepare_own("birds", birds, OwnSource(size=8))
    for label, name in enumerate(pack.classes):
        first, count = pack.first[label], pack.counts[label]
        assert {str(image).split("/")[0] for image in pack.names[first : first + count]} == {name}
    assert np.array_equal(np.sort(np.concatenate(list(map(list, pack.splits.values())))), np.arange(10))
