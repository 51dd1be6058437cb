"""`fsbench report`: the files that it writes, that they agree with each other, and what it refuses."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fsbench.cli.report import report
from fsbench.cli.table import table
from fsbench.episodes.fixed import FixedProtocol
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.episodes.variable import VariableProtocol
from fsbench.errors import FsbenchError, OutputError, RecordError, UsageError
from fsbench.record_files import RecordStore
from fsbench.report.write import write_everything
from fsbench.stats.intervals import class_mean_ci
from helpers.commands import run
from helpers.factories import make_record
from helpers.small import write_small_pack
from helpers.tiny import write_source, write_suite

TABLES = ["differences.csv", "ranks.csv", "table.csv", "table.json", "table.md", "table.tex"]
PLOTS = ["plots/accuracy.pdf"]


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without packs, and without drawing plots, which takes seconds."""
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fsbench.report.plots.plots", lambda table: {"accuracy.pdf": table.suite.encode()})


def _run(folder: Path, suite: str = "tiny") -> Path:
    store = RecordStore(folder / "records")
    for label, right in (("k-NN", 40), ("Proto & <b>Net", 55)):
        for shot in (1, 5):
            store.write(make_record(label, [right + shot, right + 9], shot=shot, suite=suite, row=label[:5]))
    return folder


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _report(*words: object) -> Result:
    return CliRunner().invoke(report, [str(word) for word in words])


def test_one_run_has_everything_in_its_own_folder(tmp_path: Path) -> None:
    folder = _run(tmp_path / "run")
    result = _report(folder)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"The page, and the tables and plots beside it: {folder / 'report' / 'index.html'}"
    ]
    assert _files(folder / "report") == sorted(["index.html", *TABLES, *PLOTS])


def test_several_runs_have_one_page_and_a_folder_each(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "a"), _run(tmp_path / "b"), _run(tmp_path / "c", suite="other/../suite")]
    result = _report(*runs, "--out", tmp_path / "out")
    assert result.exit_code == 0
    folders = ("tiny-a", "tiny-b", "other-suite")
    assert _files(tmp_path / "out") == sorted(["index.html", *(f"{d}/{f}" for d in folders for f in TABLES + PLOTS)])
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == ["tiny (a)", "tiny (b)", "other/../suite"]


@pytest.mark.parametrize("words", [("--ranks", "paired"), ("--cell-ranks",)])
def test_ranks_are_written_as_table_writes_them(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder, store = _run(tmp_path / "run"), RecordStore(tmp_path / "run" / "records")
    for label, right in (("k-NN", 40), ("Proto & <b>Net", 55)):
        store.write(make_record(label, [right, right + 9], source="birds", row=label[:5]))
    names = ("table.md", "table.csv", "ranks.csv")
    assert CliRunner().invoke(table, [str(folder)]).exit_code == 0
    plain = [(folder / name).read_bytes() for name in names]
    assert CliRunner().invoke(table, [str(folder), *words]).exit_code == 0
    asked = [(folder / name).read_bytes() for name in names]
    assert asked != plain
    assert _report(folder, *words).exit_code == 0
    assert [(folder / "report" / name).read_bytes() for name in names] == asked


def test_files_among_the_folders_are_skipped_and_it_is_said(tmp_path: Path) -> None:
    folder, file = _run(tmp_path / "run"), tmp_path / "README.md"
    file.write_text("", encoding="utf-8")
    result = _report(file, folder)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == f"Skipped, because they are not folders: {file}"
    assert _files(folder / "report") == sorted(["index.html", *TABLES, *PLOTS])


def test_every_figure_of_table_csv_stands_on_the_page(tmp_path: Path) -> None:
    write_everything([_run(tmp_path / "run")], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    shown = " ".join(re.sub(r"<[^>]*>", "", page).split())
    with (tmp_path / "out" / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4
    for line in lines:
        assert (
            shown.count(f"{float(line['mean']):.2f} ± {float(line['ci95']):.2f}") >= 2
        )  # in the table, and of its record
    assert "Proto &amp; &lt;b&gt;Net" in shown


def test_every_figure_of_differences_csv_stands_on_the_page(tmp_path: Path) -> None:
    write_everything([_run(tmp_path / "run")], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    found = re.findall(r'<span title="([^"]*)">\s*([+−][\d.]+)<span class="below">(± [\d.]+)</span>', page)
    shown = {(html.unescape(title), difference, ci95) for title, difference, ci95 in found}
    with (tmp_path / "out" / "differences.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2
    assert len(found) == len(lines)
    for line in lines:
        p = f"p = {float(line['p']):.2g}; Holm-corrected {float(line['p_holm']):.2g}"
        either = set()
        for ours, other, sign in ((line["method"], line["other"], 1), (line["other"], line["method"], -1)):
            difference = f"{sign * float(line['difference']):+.2f}".replace("-", "−")
            either.add((f"{ours} minus {other}: {p}", difference, f"± {float(line['ci95']):.2f}"))
        assert len(either & shown) == 1  # with the better one first


@pytest.mark.parametrize("protocol", [FixedProtocol("test", 5, 1, 15, 30, 0), VariableProtocol("test", 30, 0)])
def test_packs_in_the_cache_give_the_intervals_over_classes(tmp_path: Path, protocol: AnyProtocol) -> None:
    pack = write_small_pack(tmp_path / "cache" / "packs" / "small-28px")
    episodes = Sampler(pack, protocol, Rules(leave_out=True)).draw()
    shot = protocol.shot if isinstance(protocol, FixedProtocol) else None
    record = make_record("k-NN", range(30), source="small", shot=shot, pack=pack.digest, episode_set=episodes.digest)
    RecordStore(tmp_path / "run" / "records").write(record)
    write_everything([tmp_path / "run"], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    classes = [found for block in episodes.blocks for found in block.classes]
    expected = class_mean_ci(record.accuracies, classes).half_width
    assert f"± {expected:.2f}</td>" in page
    assert "No interval over the classes" not in page
    write_everything([_run(tmp_path / "without")], tmp_path / "other")
    page = (tmp_path / "other" / "index.html").read_text(encoding="utf-8")
    assert (
        page.count("No interval over the classes of omniglot: the images of its records (pack omniglot-pac) are") == 1
    )


def test_a_second_time_gives_the_same_bytes(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    for out in ("once", "again"):
        write_everything([run], tmp_path / out)
    for name in _files(tmp_path / "once"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def _refused(error: type[FsbenchError], *words: object) -> str:
    result = _report(*words)
    assert isinstance(result.exception, error)
    assert len(str(result.exception).splitlines()) == 1
    return str(result.exception)


def test_folders_without_records_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    run, empty = _run(tmp_path / "run"), tmp_path / "empty"
    empty.mkdir()
    said = _refused(RecordError, run, empty, "--out", tmp_path / "out")
    assert said == f"there are no records in {empty}; run a suite with --out {empty} first."
    assert not (tmp_path / "out").exists()


def test_several_runs_need_a_place_and_names_of_their_own(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "x" / "run"), _run(tmp_path / "y" / "run")]
    assert _refused(UsageError, *runs) == "2 folders have one page together; use --out to say where to write it."
    said = _refused(UsageError, *runs, "--out", tmp_path / "out")
    assert said == "two of the folders would both be called 'tiny (run)' in the report; rename one of them."


def test_records_of_two_suites_in_one_folder_are_refused(tmp_path: Path) -> None:
    _run(_run(tmp_path / "run"), suite="other")
    assert "a table holds the records of one suite" in _refused(RecordError, tmp_path / "run")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file/out" in _refused(OutputError, _run(tmp_path / "run"), "--out", tmp_path / "file" / "out")


def test_it_is_a_command_that_asks_for_a_folder() -> None:
    assert isinstance(report, click.Command)
    assert "Missing argument 'FOLDER...'" in _report().output


def test_one_set_of_records_has_one_order_whichever_command_prints_it(tmp_path: Path) -> None:
    for name in ("zebra", "ape"):
        write_source(tmp_path / "cache", name=name)
    edits = (('train = "tiny"', 'train = "ape"'), ('test = ["tiny"]', 'test = ["zebra", "ape"]'))
    suite, out = write_suite(tmp_path / "own.toml", *edits, rows=("proto", "finetune", "knn")), tmp_path / "out"
    run(suite, out, "--shots", 1, "--episodes", 4)
    printed = (out / "table.md").read_bytes()
    lines = [line.split("|") for line in printed.decode().splitlines() if line.startswith("|")]
    assert [head.strip() for head in lines[0][1:-1]] == ["Test source", "ProtoNet", "Finetune", "k-NN"]
    assert [line[1].strip() for line in lines[2:4]] == ["zebra", "ape"]
    assert CliRunner().invoke(table, [str(out)]).exit_code == 0
    assert (out / "table.md").read_bytes() == printed
    assert _report(out).exit_code == 0
    assert (out / "report" / "table.md").read_bytes() == printed
