"""The page: that it holds every figure, leads every one to its record, needs nothing else, and breaks on no name."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fsbench.records import Record, Validation
from fsbench.report.arrange import build_table
from fsbench.report.differences import differences
from fsbench.report.figures import file_name
from fsbench.report.html import to_html
from fsbench.report.table import Table
from fsbench.stats.intervals import class_mean_ci
from helpers.factories import make_record
from helpers.page import SOURCES, Page, one_source, several_sources

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def _page(*tables: Table) -> Page:
    return Page(to_html({f"{table.suite} {n}": table for n, table in enumerate(tables)}))


@pytest.mark.parametrize("make", [one_source, several_sources])
def test_every_figure_stands_there_and_leads_to_its_record(make: Callable[[], list[Record]]) -> None:
    table = build_table(make())
    page = _page(table)
    idents = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(idents) == len(set(idents))
    records = {head.attributes["id"]: head for head in page.all("th") if "id" in head.attributes}
    links = [link for link in page.within("table-1-accuracy", "a") if "±" in link.text]
    figures = [(line, figure) for line in table.lines for figure in line.figures if figure is not None]
    for line, figure in figures:
        expected = f"{figure.mean:.2f} ± {figure.ci95:.2f}"
        for record in figure.records:
            (link,) = [link for link in links if file_name(record) in link.attributes["title"]]
            assert link.text.startswith(expected)
            assert f"episode set {record.identity.episode_set[:12]}" in link.attributes["title"]
            assert records[f"table-1-{record.cell[:12]}"].text == line.name
        assert link.attributes["href"] == f"#table-1-{figure.records[0].cell[:12]}"
    assert len(links) == len(figures)
    assert {link.attributes["href"][1:] for link in page.all("a")} <= set(idents)


def test_the_records_are_listed_with_training_episodes_and_file() -> None:
    records = one_source()
    page = _page(build_table(records))
    text = " ".join(cell.text for cell in page.within("table-1-records", "td"))
    for record in records:
        assert file_name(record) in text
        assert f"{record.mean:.2f} ± {record.ci95:.2f}" in text
    assert "3,000 of 3,000" in text
    assert "omniglot-5-1" in text  # the episode set
    titles = [span.attributes["title"] for span in page.within("table-1-records", "span") if "title" in span.attributes]
    assert {"0123456789abcdef", "omniglot-pack-digest"} <= set(titles)


def test_several_training_seeds_have_their_interval_on_hover_and_in_the_records() -> None:
    table = build_table(one_source())
    page = _page(table)
    (cell, _) = next(line for line in table.lines if line.name == "ProtoNet").figures
    assert cell is not None
    assert cell.over_seeds is not None
    assert cell.spread is not None
    interval = f"{cell.over_seeds.mean:.2f} ± {cell.over_seeds.half_width:.2f}"
    titles = [link.attributes["title"] for link in page.within("table-1-accuracy", "a") if "±" in link.text]
    assert [title.partition("; over ")[2] for title in titles if file_name(cell.records[0]) in title] == [
        f"2 training seeds {interval}"
    ]
    assert sum("training seeds" in title for title in titles) == 2  # at both shots
    lines = [line.text for line in page.within("table-1-records", "tr")]
    assert "Over seeds" in lines[0]
    assert sum(f"{interval} ({cell.spread:.2f})" in line for line in lines) == 2
    single = _page(build_table([make_record()]))
    assert "Over seeds" not in single.within("table-1-records", "tr")[0].text


def test_records_have_the_interval_over_classes_or_a_reason_for_having_none() -> None:
    table = build_table([make_record(source=source) for source in ("a", "b", "c")])
    classes = dict(zip(table.columns, ([[1, 2], [2, 3], [1, 3], [1, 2]], [[1]] * 4, "c: no pack."), strict=True))
    page = Page(to_html({"t": table}, classes=classes))
    heads, *lines = page.within("table-1-records", "tr")
    assert "Over classes" in heads.text
    record = table.records[0]
    assert f" ± {class_mean_ci(record.accuracies, classes[table.columns[0]]).half_width:.2f} " in lines[0].text
    titles = [span.attributes["title"] for span in page.within("table-1-records", "span") if span.text == "–"]
    assert titles == [
        "an interval over classes needs two classes or more, none of them in every episode.",
        "c: no pack.",
    ]
    hints = [hint.text for hint in page.within("table-1-records", "p")]
    assert hints[1:] == ["No interval over the classes of c: no pack."]
    bare = Page(to_html({"t": table}, classes=dict.fromkeys(table.columns, "a: no pack.")))
    assert "Over classes" not in bare.within("table-1-records", "tr")[0].text
    assert [hint.text for hint in bare.within("table-1-records", "p")][1:] == [
        "No interval over the classes of a: no pack."
    ]


@pytest.mark.parametrize("make", [one_source, several_sources])
def test_paired_differences_stand_in_a_matrix_for_every_family(make: Callable[[], list[Record]]) -> None:
    table = build_table(make())
    page, families = _page(table), differences(table.by_rank())
    grids = page.within("table-1-differences", "table")
    assert [grid.text.partition(" Method")[0] for grid in grids] == [
        f"Differences, {family.source or 'all sources'}, {family.setting}" for family in families
    ]
    assert [any(e.tag == "details" for e in grid.around) for grid in grids] == [
        len(table.sources) > 1 and family.source is not None for family in families
    ]
    for grid, family in zip(grids, families, strict=True):
        cells = [e for e in page.all("td") if grid in e.around]
        shown = dict(zip(itertools.product(family.methods[:-1], family.methods[1:]), cells, strict=True))
        assert [bool(cell.text) for cell in shown.values()] == [pair in {p[:2] for p in family.pairs} for pair in shown]
        for pair in family.pairs:
            there = shown[pair.method, pair.other]
            assert there.text == f"{pair.difference:+.2f}± {pair.ci95:.2f}".replace("-", "−")
            mark = "" if not pair.significant else " ahead" if pair.difference > 0 else " behind"
            assert there.attributes["class"] == f"number{mark}"
            (title,) = [
                e.attributes["title"] for e in page.all("span") if there in e.around and "title" in e.attributes
            ]
            p = f"p = {pair.p:.2g}; Holm-corrected {pair.p_holm:.2g}"
            assert title == f"{pair.method} minus {pair.other}: {p}"


def test_who_is_not_compared_over_the_sources_is_said() -> None:
    page = _page(build_table(several_sources()))
    hints = [hint.text for hint in page.within("table-1-differences", "p")]
    assert hints[1:] == ["Without RelationNet, for which a source is missing."]
    assert "Over all sources each counts the same." in hints[0]
    apart = [make_record(label, source=source) for label, source in (("k-NN", "a"), ("ProtoNet", "b"))]
    page = _page(build_table(apart))
    hints = [hint.text for hint in page.within("table-1-differences", "p")]
    assert hints[1:] == ["5-way 1-shot: there are no two inductive methods of one track without a gap."]
    assert not page.within("table-1-differences", "table")


def test_a_rule_stands_before_transductive_methods_and_before_no_source() -> None:
    def ruled(sources: str, shots: tuple[int, ...]) -> list[str]:
        rows = [("k-NN", False), ("ProtoNet", False), ("fo-MAML", True)]
        cells = [(*row, source, shot) for row in rows for source in sources for shot in shots]
        records = [make_record(name, source=source, shot=shot, transductive=how) for name, how, source, shot in cells]
        page = _page(build_table(records))
        return [
            row.text.split(" ")[0]
            for row in page.within("table-1-accuracy", "tr")
            if "apart" in row.attributes.values()
        ]

    assert ruled("a", (1,)) == ["fo-MAML"]
    assert ruled("abc", (1,)) == []  # as many sources as methods
    assert ruled("abc", (1, 5)) == ["fo-MAML"]  # of the average ranks


def test_a_missing_cell_is_a_dash_with_its_reason() -> None:
    page = _page(build_table(several_sources()))
    dashes = [link for link in page.within("table-1-accuracy", "a") if link.text == "–"]
    assert [link.attributes["title"] for link in dashes] == [
        "no finished record of RelationNet on fungi 5-way 1-shot",
        *["traffic_sign was left out: its files are not there."] * 4,
    ]
    assert {link.attributes["href"] for link in dashes} == {"#table-1-protocol"}
    (foot,) = page.all("tfoot")
    assert foot.text.split()[-1] == "–"  # a row with a gap has no average rank


def test_stamps_stand_below_the_title_and_at_the_names() -> None:
    page = _page(build_table(several_sources()))
    assert [stamp.text for stamp in page.all("p", "stamp")] == [
        "partial images in the sources marked ¶: dtd (20 per class)"
    ]
    assert "dtd ¶" in [name.text for name in page.within("table-1-accuracy", "th")]
    reduced = _page(build_table([make_record(fraction=0.1), make_record("k-NN")]))
    assert [stamp.text for stamp in reduced.all("p", "stamp")] == [
        "reduced training (10 % of the suite's length) of the methods marked §"
    ]
    assert [name.text for name in reduced.within("table-1-accuracy", "th")] == [
        *("Method", "5-way 1-shot", "rank", "average rank"),
        *("ProtoNet §", "k-NN"),
    ]
    assert "stamp" not in to_html({"t": build_table([make_record()])}).partition("<body>")[2]


def test_the_best_are_marked_and_transductive_rows_are_not_ranked() -> None:
    rows = [("k-NN", 40, False), ("ProtoNet", 60, False), ("fo-MAML", 66, True)]
    records = [
        make_record(label, [right + shot + i for i in (0, 3, 1, 4, 0, 2)], shot=shot, transductive=how)
        for label, right, how in rows
        for shot in (1, 5)
    ]
    page = _page(build_table(records))
    assert [cell.text for cell in page.all("td", "best")] == ["83.56 ± 2.28", "88.89 ± 2.28"]
    kinds = [mark.attributes["class"] for mark in page.all("g", " dot ")]
    assert kinds == ["dot best", "dot ranked", "dot apart"] * 2


def test_figures_are_drawn_for_columns_trainings_and_ranks() -> None:
    labels = [drawing.attributes.get("aria-label", "") for drawing in _page(build_table(several_sources())).all("svg")]
    assert sum(label.startswith("Accuracy and its 95 % confidence interval, ") for label in labels) == len(SOURCES)
    assert sum(label.startswith("Accuracies of single episodes, ") for label in labels) == len(SOURCES)
    assert sum(label.startswith("Validation accuracy during training, ") for label in labels) == 4
    assert labels.count("Critical-difference diagram, 5-way 1-shot") == 1


def test_long_names_are_cut_in_drawings_and_whole_on_hover() -> None:
    name = "A method with a name of many letters"
    page = _page(build_table([make_record(name)]))
    assert [text.text for text in page.within("table-1-accuracy", "text")][-1] == "A method with a name of m…"
    assert page.within("table-1-accuracy", "title")[0].text.startswith(f"{name}: 89.00 ± ")


def test_critical_differences_name_the_groups_and_the_tests() -> None:
    page = _page(build_table(several_sources()))
    marks = [title.text for title in page.within("table-1-ranks", "title")]
    assert marks == [
        "not significantly different: ProtoNet, fo-MAML",
        "not significantly different: fo-MAML, k-NN",
        *[
            f"{name}: average rank {rank}.00 over 5 sources"
            for rank, name in enumerate(("ProtoNet", "fo-MAML", "k-NN"), 1)
        ],
    ]
    text = " ".join(words.text for words in page.within("table-1-ranks", "p"))
    assert "Friedman's test over 5 test sources: χ²(2) = 10.00, p = 0.007" in text
    few = _page(build_table(one_source()))
    assert not few.within("table-1-ranks", "svg")
    assert "#table-1-ranks" not in {link.attributes["href"] for link in few.all("a")}


def test_trainings_that_are_shared_share_a_panel_and_histories_may_be_absent() -> None:
    shared = [make_record(label, training="one", row=label) for label in ("k-NN", "Finetune")]
    page = _page(build_table([*shared, make_record("ProtoNet")]))
    titles = [caption.text for caption in page.within("table-1-training", "figcaption")]
    assert titles == ["k-NN, Finetune", "ProtoNet"]
    record = make_record()
    bare = record.model_copy(update={"training": record.training.model_copy(update={"history": []})})
    text = " ".join(words.text for words in _page(build_table([bare])).within("table-1-training", "p"))
    assert text == "The records hold no history of their trainings."


def test_curves_go_through_every_look_at_validation() -> None:
    record = make_record()
    looks = [Validation(step=1000 * n, loss=1.0, accuracy=80.0 + n) for n in (1, 2, 3)]
    training = record.training.model_copy(update={"history": looks, "best_step": 2000, "best_accuracy": 82.0})
    page = _page(build_table([record.model_copy(update={"training": training})]))
    (line,) = [e for e in page.within("table-1-training", "path") if e.attributes["d"].count("L") == 2]
    xs = [float(x) for x in re.findall(r"[ML](\S+)", line.attributes["d"])]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert "ProtoNet, 1-shot, seed 0: kept at step 2,000 with 82.00 %" in [title.text for title in page.all("title")]


def test_protocol_and_environment_are_those_of_the_footnote() -> None:
    page = _page(build_table(one_source()))
    terms = [term.text for term in page.within("table-1-protocol", "dt")]
    assert {"Accuracy", "Rank", "Bold", "Inductive", "Backbone", "Episodes", "Made with"} <= set(terms)
    assert any("torch 2.11.0" in note.text for note in page.within("table-1-protocol", "dd"))


def test_published_results_stand_beside_ours() -> None:
    ours = make_record(
        "ProtoNet",
        method="proto",
        source="miniimagenet",
        train_sources=["miniimagenet"],
        images={"size": 84, "channels": 3},
    )
    page = _page(build_table([ours]))
    heads = [head.text for head in page.within("table-1-accuracy", "th")]
    assert {"Ours", "Published", "Difference", "Inside"} <= set(heads)
    assert "Published" not in [head.text for head in _page(build_table([make_record("own")])).all("th")]


@pytest.mark.parametrize("make", [one_source, several_sources])
def test_it_needs_nothing_else(make: Callable[[], list[Record]]) -> None:
    text = to_html({"a": build_table(make())})
    page = Page(text)
    for element in page.elements:
        assert element.tag not in {"link", "iframe", "object", "base", "form"}
        for name in ("href", "src", "action", "srcset"):
            assert element.attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(
        r"https?:|url\(|@import", re.sub(r'<(td|th|pre)\b.*?</\1>|xmlns="[^"]*"', "", text, flags=re.S)
    )
    (policy,) = [e for e in page.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy.attributes["content"].startswith("default-src 'none'; ")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b_%#|$x$", "{{ 7 * 7 }}"]
)
def test_names_are_shown_literally(name: str) -> None:
    records = [
        make_record(label, row=f"row {label}", method="m", source=source, suite=name, absent={name: name}, partial=name)
        for source in (name, "other")
        for label in (name, f"other {name}")
    ]
    table = build_table([record.model_copy(update={"backbone_label": name}) for record in records])
    page = Page(to_html({name: table}))
    plain = _page(
        build_table(
            [
                make_record(label, source=source, absent={"x": "x"}, partial="some")
                for source in ("a", "b")
                for label in ("k-NN", "ProtoNet")
            ]
        )
    )
    assert {element.tag for element in page.elements} == {element.tag for element in plain.elements}
    assert len(page.all("script")) == 1
    assert not {
        attribute for element in page.elements for attribute in element.attributes if attribute.startswith("on")
    }
    assert page.all("h2")[0].text == name
    (title, *_) = [e.attributes["title"] for e in page.within("table-1-differences", "span") if "title" in e.attributes]
    assert title.startswith(f"{name} minus other {name}: p = ")
    assert f"{name} ¶" in [head.text for head in page.within("table-1-accuracy", "th")]


def test_several_tables_have_a_part_each() -> None:
    page = _page(build_table(one_source()), build_table(several_sources()))
    assert [part.attributes["id"] for part in page.all("article")] == ["table-1", "table-2"]
    assert [title.text for title in page.all("h2")] == ["tiny 0", "tiny 1"]
    links = [link.attributes["href"] for link in page.all("a")]
    assert {"#table-1", "#table-2"} <= set(links)


def test_it_depends_on_the_records_alone() -> None:
    records = several_sources()
    later = [record.model_copy(update={"timings": {"evaluation": 99.0}}) for record in records]
    assert to_html({"a": build_table(records)}) == to_html({"a": build_table(later)})


def test_why_there_are_no_pictures_is_said() -> None:
    table = build_table([make_record()])
    text = to_html({"a": table}, sheets={table.columns[0]: "omniglot: <no> images."})
    assert "No pictures of omniglot: &lt;no&gt; images." in text


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_chromium_runs_the_script_and_sorts_by_a_head(tmp_path: Path) -> None:
    press = "<script>document.querySelectorAll('thead .number button')[3].click()</script></body>"
    page, profile = tmp_path / "page.html", tmp_path / "profile"
    page.write_text(to_html({"a": build_table(several_sources())}).replace("</body>", press), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([str(CHROMIUM), *options, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    shown = Page(done.stdout)
    heads = [head for head in shown.all("th") if head.attributes.get("scope") == "col"]
    assert len(heads) == len([button for button in shown.all("button") if button.around[-1].tag == "th"])
    assert [head.text for head in heads if "aria-sort" in head.attributes] == ["RelationNet"]
    names = [name.text for name in shown.within("table-1-accuracy", "th") if name.attributes["scope"] == "row"]
    assert names == ["dtd ¶", "cu_birds", "aircraft", "omniglot", "fungi", "traffic_sign", "average rank"]
    assert "hidden" not in next(b for b in shown.all("button") if b.attributes.get("id") == "theme").attributes
