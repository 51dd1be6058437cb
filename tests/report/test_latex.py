"""The LaTeX table: its exact text, its marks, names that try to break it, and that TeX takes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fsbench.records import Record
from fsbench.report.arrange import build_table
from fsbench.report.footnote import footnote
from fsbench.report.latex import Notes, to_latex
from fsbench.report.table import Table
from helpers.factories import make_record

FOLDER = Path(__file__).parent
HOSTILE = [
    "_ & % # $ ~ ^ { } \\ |",
    "<script>alert(1)</script>",
    "[2pt] `quoted`",
    "*",
    "a--b---c",
    "\\input{x} \\\\ $x^2_3$ %",
    "two  spaces",
    "é ± × – √ ²",
]
# What stands for a sign in the text of a cell; nothing else in it may start with a backslash or a dollar.
PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textasciigrave{}": "`",
    r"\textendash{}": "–",
    r"$\pm$": "±",
    r"$\times$": "×",
    r"$\surd$": "√",
    "$^2$": "²",
    "{[}": "[",
    "{*}": "*",
    "-{}": "-",
    "''": '"',
    **{rf"\{sign}": sign for sign in "&%$#_{}"},
}


def _suite() -> list[Record]:
    rows = [("k-NN", False, 40), ("ProtoNet", False, 60), ("fo-MAML", False, 61), ("fo-MAML", True, 66)]
    return [
        make_record(label, [right + shot + i for i in (0, 3, 1, 4)], shot=shot, transductive=transductive)
        for label, transductive, right in rows
        for shot in (1, 5)
    ]


def _two_sources() -> list[Record]:
    """The rows of `_suite` on two sources, one of which lacks images; a third was left out."""
    return [
        make_record(
            record.label,
            [max(0, (right - less) // divisor * divisor) for right in record.correct],
            source=source,
            shot=record.identity.shot,
            transductive=record.identity.transductive,
            fraction=0.1 if record.label == "fo-MAML" else 1,
            partial=partial,
            absent={"air_craft": "there are no images of it."},
        )
        for record in _suite()
        for source, less, partial, divisor in (
            ("omniglot", 0, None, 1),
            ("cu_birds", 9, "partial (20 per class)", 15),
        )
    ]


def _seeds() -> list[Record]:
    return [
        make_record(label, correct, source=source, train_seed=seed)
        for label, results in (("ProtoNet", ((75, 45), (45, 60))), ("k-NN", ((30, 31),)))
        for source in ("omniglot", "birds")
        for seed, correct in enumerate(results)
    ]


def _without_notes(text: str) -> str:
    """Up to the footnote, whose words are `footnote`'s."""
    return text.partition(r"\textbf{Accuracy:}")[0]


def _hostile(name: str) -> Table:
    several = [
        make_record(name, row="row", method="method", source=source, suite=name, absent={f"{name}!": name})
        for source in (name, "omniglot")
    ]
    return build_table([record.model_copy(update={"backbone_label": name}) for record in several])


@pytest.mark.parametrize(("golden", "records"), [("one_source.tex", _suite()), ("two_sources.tex", _two_sources())])
def test_the_whole_text_above_the_notes(golden: str, records: list[Record]) -> None:
    text = to_latex(build_table(records), notes="full")
    assert _without_notes(text) == (FOLDER / golden).read_text(encoding="utf-8")


def test_the_notes_are_those_of_every_format() -> None:
    table = build_table(_two_sources())
    below = to_latex(table, notes="full").splitlines()
    start = next(place for place, line in enumerate(below) if line.startswith(r"\textbf{Accuracy:}"))
    notes = footnote(table)
    assert below[start + len(notes) :] == ["}"]
    for line, note in zip(below[start:], notes, strict=False):
        assert _printed(line.removesuffix(r"\par").replace(r"\textbf{", "", 1).replace(":}", ":", 1)) == (
            f"{note.term}: {note.text}"
        )


def test_a_caption_is_two_lines_and_one_for_every_mark() -> None:
    text = to_latex(build_table(_suite()))
    _, *points, end = text.partition(r"{\footnotesize")[2].splitlines()
    assert end == "}"
    assert [point[:24] for point in points] == [
        r"$^{\dagger}$ transductiv",
        "Mean accuracy in percent",
        "fsbench 0.1.0, suite tin",
    ]
    assert "over 4 episodes with 15 queries per class" in points[1]
    assert "Rank: Meta-Dataset's rule." in points[2]
    assert "Rank: by paired tests." in to_latex(build_table(_suite(), ranks="paired"))


def test_half_widths_of_other_lengths_are_padded() -> None:
    text = to_latex(build_table([make_record("a", (75, 45)), make_record("b", (30, 31))]))
    assert r"$80.00 \pm 254.12$" in text.replace(r"\mathbf{80.00 \pm 254.12}", r"80.00 \pm 254.12")
    assert r"40.67 \pm \phantom{00}8.47" in text


def test_the_spread_between_training_seeds_has_a_column_of_its_own_beside_the_figure() -> None:
    text = to_latex(build_table(_seeds()))
    assert "& (7.07) &" in text
    assert r"\begin{tabular}{@{}lr@{\,}lr@{}}" in text
    assert r"Test source & \multicolumn{2}{c}{ProtoNet} & \multicolumn{1}{c}{k-NN}" in text


def test_marks_are_explained_where_they_stand_and_only_there() -> None:
    marks = {r"$^{\S}$ reduced", r"$^{\P}$ partial", r"$^{\dagger}$ transductive"}
    assert {mark for mark in marks if mark in to_latex(build_table(_two_sources()))} == marks
    plain = to_latex(build_table([make_record()]))
    assert not re.search(r"\$\^\{\\(S|P|dagger)", plain)


def test_missing_cells_are_dashes() -> None:
    line = next(line for line in _lines(build_table(_suite()[:3])) if line.startswith("ProtoNet"))
    assert line.split(" & ")[4:] == ["--", "--", "--"]


def _lines(table: Table) -> list[str]:
    """The lines of its tabulars."""
    return [line.removesuffix(r" \\") for line in to_latex(table).splitlines() if line.endswith(r" \\")]


def _printed(text: str) -> str:
    """The text that a cell prints; fails where TeX would read a sign as a command of its own."""
    signs = "|".join(map(re.escape, sorted(PRINTED, key=len, reverse=True)))
    assert not re.search(r"[\\$~^&%#_{}<>|`*\[]", re.sub(signs, "", text)), text
    return re.sub(signs, lambda match: PRINTED[match[0]], text)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_printed_literally(name: str) -> None:
    shown = name.replace("  ", " ")
    (record, *_) = _hostile(name).lines[0].records
    _, first = _lines(build_table([record.model_copy(update={"absent": {}})]))
    assert [_printed(cell) for cell in first.split(" & ")[:2]] == [shown, shown]
    head, source, _, left_out = _lines(_hostile(name))[:4]
    assert _printed(head.partition(r"\multicolumn{1}{c}{")[2].removesuffix("}")) == shown
    assert _printed(source.partition(" & $")[0]) == shown
    assert _printed(left_out.removesuffix(" & --")) == f"{shown}!"


def test_tex_takes_every_table(tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("there is no pdflatex")
    if subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode:
        pytest.skip("this TeX has no booktabs")
    tables = [build_table(_suite()), build_table(_two_sources()), build_table(_seeds()), *map(_hostile, HOSTILE)]
    names = []
    for number, table in enumerate(tables):
        names.append(f"table-{number}")
        notes: Notes = "full" if number % 2 else "short"
        (tmp_path / f"{names[-1]}.tex").write_text(to_latex(table, notes=notes), "utf-8")
    body = "\n".join(rf"\input{{{name}}}\clearpage" for name in names)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "-draftmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
