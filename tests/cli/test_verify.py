"""`fsbench verify`: what a record that somebody hands over can be caught at."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fsbench.data.pack import Pack
from fsbench.episodes.content import content_digest
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.variable import VariableProtocol
from fsbench.files.atomic import canonical_json
from fsbench.provenance import SuiteOrder, write_suite_order
from fsbench.record_files import RecordStore
from fsbench.stats.intervals import mean_ci
from helpers.commands import fsbench, refused
from helpers.factories import make_record
from helpers.small import write_small_pack

FIXED = FixedProtocol("test", 5, 1, 15, 4, 0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packs"


@pytest.fixture
def pack(cache: Path) -> Pack:
    return write_small_pack(cache / "small-28px", size=28)


def _of(pack: Pack, protocol: AnyProtocol = FIXED) -> dict[str, Any]:
    """What the identity of a record of this version says of the episodes of a protocol on a pack."""
    drawn = Sampler(pack, protocol, Rules(leave_out=True)).draw()
    return {"source": "small", "pack": pack.digest, "episode_set": content_digest(pack, drawn), "engine": 1}


def _write(folder: Path, **facts: Any) -> Path:
    return RecordStore(folder / "records").write(make_record(**facts))


def _forge(path: Path, **changes: Any) -> None:
    """Change a record and give it the checksum of its new content."""
    content = json.loads(path.read_text()) | changes
    content.pop("checksum")
    path.write_text(json.dumps(content | {"checksum": sha256(canonical_json(content)).hexdigest()}))


def _sentences(*words: object) -> list[str]:
    result = fsbench("verify", *words)
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()


def test_a_good_record_verifies_with_its_episodes(tmp_path: Path, pack: Pack) -> None:
    _write(tmp_path / "run", **_of(pack))
    result = fsbench("verify", tmp_path / "run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'run'}: 1 of 1 records verify, 1 with their episodes drawn again\n"


def test_files_beside_folders_are_passed_over(tmp_path: Path, pack: Pack) -> None:
    """A shell's `results/*` gives them too."""
    _write(tmp_path / "run", **_of(pack))
    for name in ("index.html", "ranks.csv"):
        (tmp_path / name).write_text("")
    files = tmp_path / "index.html", tmp_path / "ranks.csv"
    for words in (("verify",), ("leaderboard", "--out", tmp_path / "page")):
        result = fsbench(*words, files[0], tmp_path / "run", files[1])
        assert result.exit_code == 0, result.output
        assert result.stderr.splitlines()[0] == (f"Skipped, because they are not folders: {files[0]}, {files[1]}")
        assert refused(*words, files[0]).endswith(f"{files[0]} is no folder; name the out folder of a run.")


def test_without_the_images_it_says_what_it_could_not_check(tmp_path: Path) -> None:
    for shot in (1, 5):
        _write(tmp_path / "run", shot=shot)
    result = fsbench("verify", tmp_path / "run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'run'}: 2 of 2 records verify, 0 with their episodes drawn again",
        "omniglot: the images (pack omniglot-pac) are not prepared on this machine.",
    ]


def test_images_of_another_size_show_the_same_episodes(tmp_path: Path, pack: Pack, cache: Path) -> None:
    of_other = _of(pack) | {"pack": "of another size"}
    _write(tmp_path / "run", **of_other)
    _write(tmp_path / "run", **(of_other | {"episode_set": "unknown", "shot": 5}))
    report = json.loads(fsbench("verify", tmp_path / "run", "--json").stdout)
    assert [file["episodes"] for file in report["files"]] == [True, None]


def test_images_that_are_damaged_or_too_few_compare_nothing(tmp_path: Path, pack: Pack, cache: Path) -> None:
    few = write_small_pack(cache / "small-14px", size=16, images=4)
    _write(tmp_path / "run", **_of(pack))
    (pack.folder / "labels.npy").write_bytes(b"damaged")
    result = fsbench("verify", tmp_path / "run")
    assert result.exit_code == 0
    assert "1 of 1 records verify, 0 with" in result.stdout
    pack.folder.joinpath("pack.json").unlink()  # so that the other one is tried, which cannot give 16 images a class
    assert few.source == pack.source
    assert "verify, 0 with" in fsbench("verify", tmp_path / "run").stdout


def test_episodes_of_another_sampler_are_not_compared(tmp_path: Path, pack: Pack) -> None:
    _write(tmp_path / "run", **(_of(pack) | {"sampler": "fixed-0"}))
    result = fsbench("verify", tmp_path / "run")
    assert result.exit_code == 0
    assert "small: the episodes were drawn by fixed-0, and this version draws by fixed-1." in result.stdout


def test_variable_episodes_have_as_many_queries_as_they_have(tmp_path: Path, pack: Pack) -> None:
    protocol = VariableProtocol("test", 4, 0)
    blocks = Sampler(pack, protocol, Rules(leave_out=True)).draw().blocks
    total = [block.query_images.shape[1] for block in blocks for _ in range(len(block))]
    path = _write(tmp_path / "run", shot=None, correct=[0] * 4, **_of(pack, protocol))
    _forge(path, total=total)
    assert fsbench("verify", tmp_path / "run").exit_code == 0
    _forge(path, total=[*total[:-1], total[-1] + 1])
    assert _sentences(tmp_path / "run") == [
        f"the record {path} counts other numbers of queries than its episodes have."
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mean": 99.0}, "the mean and its interval are not those of the episodes"),
        ({"ci95": 0.1}, "the mean and its interval are not those of the episodes"),
        ({"total": [75, 75, 75, 70]}, "counts 70 queries in an episode of 5 classes with 15 each."),
        ({"track": "D"}, "track: Input should be 'A', 'B' or 'C'"),
        ({"label": "x" * 300}, "label: String should have at most 200 characters"),
        ({"cell": "0" * 64}, "its identity does not fit its name"),
    ],
)
def test_a_forged_record_fails_though_its_checksum_fits(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = _write(tmp_path / "run", correct=[60, 60, 60, 60])
    if "total" in changes:  # with the interval that follows
        mean, ci95 = mean_ci(100 * 60 / total for total in changes["total"])
        changes = changes | {"mean": mean, "ci95": ci95}
    _forge(path, **changes)
    (sentence,) = _sentences(tmp_path / "run")
    assert sentence.startswith(f"the record {path} ")
    assert says in sentence


def test_every_failing_file_has_a_sentence_and_the_others_count(tmp_path: Path, pack: Pack) -> None:
    run = tmp_path / "run"
    good = _write(run, **_of(pack))
    wrong = _write(run, **(_of(pack) | {"episode_set": "0" * 64}))
    nowhere = _write(run, **_of(pack), split="holdout")
    impossible = _write(run, way=60, queries=15, correct=[60] * 4, **_of(pack))
    damaged = _write(run, **_of(pack), train_seed=1)
    damaged.write_text(damaged.read_text().replace('"mean":', '"mean": '))
    renamed = good.with_name("a-nice-name.json")
    good.rename(renamed)
    (run / "suite.json").write_text("{")
    (run / "contribution.toml").write_text('by = "Us"\n')
    sentences = _sentences(run)
    assert len(sentences) == 6
    assert sum("suite.json is damaged" in sentence for sentence in sentences) == 1
    assert sum("no statement of a contribution (date: Field required)" in sentence for sentence in sentences) == 1
    assert f"the record {renamed} has another name than its identity, {good.name}; give it that name." in sentences
    assert any(str(wrong) in sentence and "(hash 000000000000)" in sentence for sentence in sentences)
    assert any(str(impossible) in sentence for sentence in sentences)
    assert any(str(nowhere) in sentence and "small has no split 'holdout'" in sentence for sentence in sentences)
    report = json.loads(fsbench("verify", run, "--json").stdout)
    assert report["schema"] == "fsbench-verification-1"
    assert not report["verifies"]
    assert {file["file"] for file in report["files"] if file["verifies"]} == {str(damaged)}


@pytest.mark.parametrize(
    "text", ['by = "Us"\ndate = 2026-11-21\n', 'by = "Us"\ndate = 2026-11-21\nlink = "https://example.org"\n']
)
def test_a_statement_of_the_contribution_is_read(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "run")
    (tmp_path / "run" / "contribution.toml").write_text(text)
    assert fsbench("verify", tmp_path / "run").exit_code == 0


@pytest.mark.parametrize("text", ["by =", 'by = "Us"\ndate = 2026-11-21\nlink = "javascript:alert(1)"\n'])
def test_a_statement_that_is_none_fails(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "run")
    (tmp_path / "run" / "contribution.toml").write_text(text)
    (sentence,) = _sentences(tmp_path / "run")
    assert "it needs by and date" in sentence


@pytest.mark.parametrize("beside", [None, "suite.json"])
def test_a_folder_without_records_fails_and_the_others_are_reported(tmp_path: Path, beside: str | None) -> None:
    run, empty = tmp_path / "run", tmp_path / "empty"
    good = _write(run)
    empty.mkdir()
    if beside is not None:
        write_suite_order(empty, SuiteOrder(name="tiny", title="Tiny", rows=(), sources=(), shots=(), suite={}))
    said = f"there are no records in {empty / 'records'}; name the out folder of a run."
    result = fsbench("verify", run, empty)
    assert (result.exit_code, result.stderr) == (2, said + "\n")
    assert result.stdout.splitlines()[:2] == [
        f"{run}: 1 of 1 records verify, 0 with their episodes drawn again",
        f"{empty}: 0 of 0 records verify, 0 with their episodes drawn again",
    ]
    report = json.loads(fsbench("verify", run, empty, "--json").stdout)
    assert not report["verifies"]
    assert [(file["file"], file["problem"]) for file in report["files"]] == [
        (str(good), None),
        (str(empty / "records"), said),
    ]


def test_a_name_says_nothing_of_the_episodes(tmp_path: Path, pack: Pack) -> None:
    good = _write(tmp_path / "run", **_of(pack))
    wrong = _write(tmp_path / "run", **(_of(pack) | {"episode_set": "0" * 64}))
    for path in (good, wrong):
        path.rename(path.with_name(f"copy of {path.name}"))
    files = json.loads(fsbench("verify", tmp_path / "run", "--json").stdout)["files"]
    assert {Path(file["file"]).name: (file["verifies"], file["episodes"]) for file in files} == {
        f"copy of {good.name}": (False, True),
        f"copy of {wrong.name}": (False, False),
    }
