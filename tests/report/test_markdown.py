"""The Markdown table: its exact text, its stamps, and names that try to break it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsbench.published.results import load_reported
from fsbench.records import Record, Validation
from fsbench.report import published
from fsbench.report.arrange import build_table
from fsbench.report.html import to_html
from fsbench.report.latex import to_latex
from fsbench.report.markdown import to_markdown
from helpers.factories import make_record

FOLDER = Path(__file__).parent


def _suite() -> list[Record]:
    rows = [("k-NN", False, 40), ("ProtoNet", False, 60), ("fo-MAML", False, 61), ("fo-MAML", True, 66)]
    return [
        make_record(label, [right + shot + i for i in (0, 3, 1, 4)], shot=shot, transductive=transductive, steps=2800)
        for label, transductive, right in rows
        for shot in (1, 5)
    ]


def _two_sources() -> list[Record]:
    """The rows of `_suite` on two sources, one of which lacks images; a third was left out."""
    return [
        make_record(
            record.label,
            [max(0, right - less) for right in record.correct],
            source=source,
            shot=record.identity.shot,
            transductive=record.identity.transductive,
            fraction=0.1 if record.label == "fo-MAML" else 1,
            train_sources=["omniglot"],
            partial=partial,
            absent={"aircraft": "there are no images of it."},
        )
        for record in _suite()
        for source, less, partial in (("omniglot", 0, None), ("cu_birds", 9, "partial (20 per class)"))
    ]


def _variable(*sources: str) -> list[Record]:
    return [
        make_record(label, correct, source=source, shot=None, train_sources=["omniglot", "quickdraw"])
        for label, correct in (("k-NN", (40, 42, 41, 43)), ("ProtoNet", (60, 66, 63, 69)))
        for source in sources
    ]


def _known(**facts: Any) -> list[Record]:
    """The rows of `_suite` as methods that have published results."""
    methods = {"k-NN": "knn", "ProtoNet": "proto", "fo-MAML": "fomaml"}
    return [
        make_record(
            record.label,
            record.correct,
            row=record.identity.row,
            method=methods[record.label],
            shot=record.identity.shot,
            transductive=record.identity.transductive,
            **facts,
        )
        for record in _suite()
    ]


def _published(text: str) -> str:
    return text.partition("## Published results")[2].partition("\n## ")[0]


def _figures(text: str) -> list[str]:
    """Every cell of every table."""
    cells = (cell.strip() for line in text.splitlines() if line.startswith("|") for cell in line.split("|")[1:-1])
    return [cell for cell in cells if not cell.startswith((":", "-"))]


def _line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_the_whole_text() -> None:
    assert to_markdown(build_table(_suite())) == (FOLDER / "tiny.md").read_text(encoding="utf-8")


def test_the_whole_text_with_published_results() -> None:
    text = to_markdown(build_table(_known()), notes=False, published=True)
    assert text == (FOLDER / "published.md").read_text(encoding="utf-8")


def test_published_results_stand_between_the_table_and_its_notes_and_change_neither() -> None:
    table = build_table(_known())
    plain, whole = to_markdown(table), to_markdown(table, published=True)
    section = "## Published results" + _published(whole)
    assert whole.replace(f"{section}\n", "") == plain
    assert whole.index(section) < whole.index("## What the figures are")


def test_published_results_stand_only_where_there_are_any() -> None:
    table = build_table(_suite())
    assert to_markdown(table, published=True) == to_markdown(table)


def test_published_results_name_the_source_where_there_are_several() -> None:
    sources = ("aircraft", "traffic_sign")
    fixed = [
        make_record("ProtoNet", source=source, method="proto", train_sources=["ilsvrc_2012"]) for source in sources
    ]
    variable = [
        make_record("ProtoNet", source=source, method="proto", shot=None, train_sources=["ilsvrc_2012"])
        for source in sources
    ]
    text = _published(to_markdown(build_table([*fixed, *variable]), published=True))
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| ProtoNet")]
    assert [[cells[2], cells[3], *cells[5:9]] for cells in lines] == [
        [f"{source} variable way and shot", "ProtoNet, ResNet-18 126px", f"{figure} ‡", difference, "no", "1"]
        for source, figure, difference in zip(
            sources, ("53.10 ± 1.00", "47.12 ± 1.10"), ("+35.90", "+41.88"), strict=True
        )
    ]


def test_published_results_without_marks_need_no_legend() -> None:
    text = _published(
        to_markdown(build_table([make_record("k-NN", method="knn", source="miniimagenet")]), published=True)
    )
    assert text.endswith("|\n\n1. Ravi &amp; Larochelle 2017 Table 1 (Baseline-nearest-neighbor)\n")


@pytest.mark.parametrize("facts", [{"fraction": 0.1}, {"partial": "partial (20 per class)"}])
def test_stamps_hold_beside_published_results_too(facts: dict[str, Any]) -> None:
    stamped = _published(to_markdown(build_table(_known(**facts)), published=True))
    plain = _published(to_markdown(build_table(_known()), published=True))
    assert set(stamped.splitlines()) - set(plain.splitlines()) == {
        "- The stamps under the title hold for our figures here too, whose marks are left out."
    }


def test_published_names_are_shown_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_a_ & 100 % # <script> |"
    hostile = [
        replace(result, method="ProtoNet", backbone=name, source=name) for result in load_reported("omniglot")[:1]
    ]
    monkeypatch.setattr(published, "load_reported", lambda: hostile)
    text = _published(to_markdown(build_table(_known()), published=True))
    shown = r"\_a\_ &amp; 100 % # &lt;script&gt; \|"
    assert f"| ProtoNet, {shown} |" in text
    assert f"\n1. {shown}\n" in text


def test_without_notes_it_ends_with_the_table() -> None:
    whole, short = to_markdown(build_table(_suite())), to_markdown(build_table(_suite()), notes=False)
    assert whole.startswith(short)
    assert short.splitlines()[-1].startswith("| fo-MAML (transductive)")


def test_timings_do_not_enter_and_every_machine_is_named() -> None:
    records = [record.model_copy(update={"timings": {"evaluation": 99.0}}) for record in _suite()]
    assert to_markdown(build_table(records)) == to_markdown(build_table(_suite()))
    records[0] = records[0].model_copy(
        update={"environment": records[0].environment.model_copy(update={"device": "NVIDIA X", "commit": None})}
    )
    records[1] = records[1].model_copy(
        update={"environment": records[1].environment.model_copy(update={"commit": "f" * 40 + "+"})}
    )
    note = _line(to_markdown(build_table(records)), "- **Made with**")
    assert note.endswith("commit not recorded, ffffffffffff with changes, 0123456789ab; device NVIDIA X, cpu.")


def _trained(label: str, **facts: Any) -> Record:
    record = make_record(label)
    return record.model_copy(update={"training": record.training.model_copy(update=facts)})


def test_the_commits_of_trainings_are_named_where_they_are_recorded() -> None:
    records = [_trained("A", commits=["f" * 40, "e" * 40 + "+"]), _trained("B")]
    note = _line(to_markdown(build_table(records)), "- **Made with**")
    assert "; tested at commit 0123456789ab, trained at commit ffffffffffff, eeeeeeeeeeee with changes " in note


@pytest.mark.parametrize(
    ("precisions", "who"),
    [
        (("bf16", "bf16", "bf16"), "all rows "),
        (("bf16", "fp32", "bf16"), "all rows but B "),
        (("bf16", None, "fp32"), "A "),
        (("fp32", None, "fp32"), None),
    ],
)
def test_rows_trained_in_bf16_are_named(precisions: tuple[str | None, ...], who: str | None) -> None:
    records = [_trained(label, precision=given) for label, given in zip("ABC", precisions, strict=True)]
    notes = [line for line in to_markdown(build_table(records)).splitlines() if "**Precision**" in line]
    assert len(notes) == (who is not None)
    assert all(f"the backbones of {who}computed in bf16; in the tests they compute in fp32." in line for line in notes)


def test_a_row_that_was_trained_in_both_precisions_is_named() -> None:
    bf16 = {"training": make_record().training.model_copy(update={"precision": "bf16"})}
    seeds = [make_record("A", train_seed=seed) for seed in range(2)]
    records = [make_record("B").model_copy(update=bf16), seeds[0], seeds[1].model_copy(update=bf16)]
    note = _line(to_markdown(build_table(records)), "- **Precision**")
    assert "the backbones of all rows computed in bf16, those of A in some trainings only; in the tests" in note


def test_all_way_columns_whose_episodes_are_one_are_named() -> None:
    def notes(*correct: int) -> list[str]:
        records = [make_record(label, correct, way=None, queries=None, shot=16) for label in ("Ridge", "SimpleShot")]
        return [line for line in to_markdown(build_table(records)).splitlines() if "**All-way**" in line]

    assert len(notes(60, 60, 61)) == 1
    assert len(found := notes(60, 60, 60)) == 2
    assert "on omniglot all-way 16-shot all images that may be shown are shown" in found[1]


def test_a_gpu_is_named_with_what_its_arithmetic_depends_on() -> None:
    cuda = {"runtime": "12.8", "cudnn": "9.10.2", "driver": "570.1", "tf32": True}
    record = make_record(environment={"device": "NVIDIA X", "cuda": cuda})
    note = _line(to_markdown(build_table([record])), "- **Made with**")
    assert "torch 2.11.0 with CUDA 12.8 and cuDNN 9.10.2, TF32, NumPy 2.3.0; " in note


def test_the_whole_text_of_two_sources_and_one_left_out() -> None:
    text = to_markdown(build_table(_two_sources()), cell_ranks=True)
    assert text == (FOLDER / "two_sources.md").read_text(encoding="utf-8")


def test_the_whole_text_of_the_variable_protocol() -> None:
    text = to_markdown(build_table(_variable("omniglot", "quickdraw")))
    assert text == (FOLDER / "variable.md").read_text(encoding="utf-8")


def test_one_source_of_the_variable_protocol_has_one_column_beside_the_fixed_ones() -> None:
    rows = [*_suite()[:4], *_variable("omniglot")]
    fixed = "5-way 1-shot | rank | 5-way 5-shot | rank"
    for records, titles in ((rows, f"{fixed} | variable way and shot"), (rows[4:], "variable way and shot")):
        line = _line(to_markdown(build_table(records)), "| Method")
        assert " ".join(line.split()) == f"| Method | Backbone | {titles} | rank | average rank |"


def test_ranks_stand_in_the_cells_on_request_only() -> None:
    table = build_table(_two_sources())
    with_ranks, without = (_figures(to_markdown(table, notes=False, cell_ranks=shown)) for shown in (True, False))
    assert [re.sub(r" \([\d.–]+\)$", "", cell) for cell in with_ranks] == without
    assert sum(cell.endswith("(–)") for cell in with_ranks) == 4  # the transductive method's figures
    alone = build_table(_suite())
    assert to_markdown(alone, cell_ranks=True) == to_markdown(alone)


def test_the_spread_between_training_seeds_stands_before_the_rank() -> None:
    seeds = [
        make_record("ProtoNet", correct, source=source, train_seed=seed)
        for source in ("omniglot", "birds")
        for seed, correct in ((3, (75, 45)), (1, (45, 60)))
    ]
    text = to_markdown(build_table(seeds), cell_ranks=True)
    assert "| **75.00 ± 63.53** (7.07; 1.0) |" in text
    assert "In brackets: the standard deviation between training seeds, where there are several; the rank" in text


def test_backbones_that_differ_stand_in_the_heads() -> None:
    wide = [record.model_copy(update={"backbone_label": "ResNet-18"}) for record in _two_sources()[:4]]
    text = to_markdown(build_table([*wide, *_two_sources()[4:8]]))
    titles = " ".join(_line(text, "| Test source").split())
    assert titles == "| Test source | k-NN, ResNet-18 | ProtoNet, Conv4-64 |"
    assert "Backbone: " not in text
    alike = [record.model_copy(update={"label": "Own"}) for record in (*wide, *_two_sources()[4:8])]
    titles = " ".join(_line(to_markdown(build_table(alike)), "| Test source").split())
    assert titles == "| Test source | Own (ResNet-18) | Own (Conv4-64) |"


def test_partial_sources_are_stamped_under_the_title_and_on_their_rows() -> None:
    stamps = {
        "omniglot": "partial (20 per class)",
        "birds": "partial (20 per class)",
        "dtd": None,
        "coco": "partial (9)",
    }
    text = to_markdown(build_table([make_record(source=source, partial=stamp) for source, stamp in stamps.items()]))
    assert "**partial** images in the sources marked ¶: omniglot, birds (20 per class); coco (9)" in text.splitlines()
    sources = [_line(text, f"| {source}").split("|")[1].strip() for source in stamps]
    assert sources == ["omniglot ¶", "birds ¶", "dtd", "coco ¶"]
    assert "pack omniglot-pac, partial (20 per class); sampler" in text
    alone = to_markdown(build_table([make_record(partial="partial (20 per class)")]), notes=False)
    assert alone.splitlines()[2] == "**partial** images: omniglot (20 per class)"
    assert "¶" not in alone


def test_sources_left_out_are_a_row_of_dashes_and_a_point_each() -> None:
    absent = {"aircraft": "no images.", "fungi": "no list."}
    table = build_table([make_record("k-NN", absent=absent), make_record("ProtoNet", absent=absent)])
    text = to_markdown(table)
    assert " ".join(_line(text, "| aircraft").split()) == "| aircraft | – | – |"
    assert [line for line in text.splitlines() if "Left out" in line] == [
        "- **Left out**: aircraft: no images.",
        "- **Left out**: fungi: no list.",
    ]
    assert "| 1.50 |" in " ".join(_line(text, "| average rank").split())


def test_the_reasons_of_several_runs_stand_in_one_order() -> None:
    records = [
        make_record(label, absent={"dtd": reason}) for label, reason in (("k-NN", "too few."), ("Ridge", "absent."))
    ]
    for several in (records, records[::-1]):
        assert "- **Left out**: dtd: absent.; too few.\n" in to_markdown(build_table(several))


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        ({"tracks": "apart"}, "support and query of a class never share a track"),
        ({"tracks": "shared"}, "may share a track (the frames of one object), as in the published protocol"),
        ({"tracks": "unknown"}, "the prepared files do not say which images belong to a track"),
        ({"classes_left_out": 1}, "hash omniglot-5-1, 1 class left out, which has too few images."),
        ({"classes_left_out": 12}, "hash omniglot-5-1, 12 classes left out, which have too few images."),
    ],
)
def test_what_the_episodes_are_drawn_from_is_said(identity: dict[str, Any], sentence: str) -> None:
    assert sentence in _line(to_markdown(build_table([make_record(**identity)])), "- **Episodes**")
    plain = _line(to_markdown(build_table([make_record()])), "- **Episodes**")
    assert ("track" in plain, "left out" in plain) == (False, False)


def test_the_sources_of_a_training_are_listed() -> None:
    several = make_record("ProtoNet", train_sources=["omniglot", "birds", "dtd"], features=64)
    text = to_markdown(build_table([several]))
    assert _line(text, "- **Trained on**") == (
        "- **Trained on**: 3 sources: omniglot, birds, dtd; the source of every training episode, and of every image "
        "of a training batch, is drawn uniformly."
    )
    assert "| 3 sources " in text
    assert "Conv4-64, 64 features, 111,936 trained parameters" in text
    mixed = to_markdown(build_table([several, make_record("k-NN")]))
    assert "- **Trained on**: 3 sources (ProtoNet): omniglot, birds, dtd; " in mixed
    assert "**Trained on**" not in to_markdown(build_table([make_record()]))


def test_models_that_answer_episodes_of_another_shot_than_their_own_are_named() -> None:
    tested = [make_record("ProtoNet", shot=shot, train_shot=5) for shot in (1, 5, None)]
    tested += [make_record("k-NN", shot=shot, train_shot=None) for shot in (1, 5, None)]
    said = _line(to_markdown(build_table(tested)), "- **Trained on**")
    assert said == "- **Trained on**: 5-shot episodes: the models of ProtoNet at 1-shot, ProtoNet at variable shots."
    assert "**Trained on**" not in to_markdown(build_table([make_record("ProtoNet", train_shot=None), *tested[-3:]]))


def test_a_training_that_starts_from_another_rows_backbone_says_so() -> None:
    rows = [make_record("k-NN", row="knn"), make_record("ProtoNet", initialised_from="knn")]
    point = "- **Initialisation**: the training of ProtoNet starts from the backbone of {}."
    assert _line(to_markdown(build_table(rows)), "- **Initialisation**").startswith(point.format("k-NN"))
    assert _line(to_markdown(build_table(rows[1:])), "- **Initialisation**") == point.format("knn")


def test_a_training_that_leaves_that_backbone_as_it_is_says_so() -> None:
    record = make_record("LEO", initialised_from="knn")
    frozen = record.model_copy(update={"training": record.training.model_copy(update={"frozen": 111_936})})
    text = to_markdown(build_table([make_record("k-NN", row="knn"), frozen]))
    said = _line(text, "- **Initialisation**")
    assert "the training of LEO starts from the backbone of k-NN. That of LEO leaves it as it is." in said


def test_a_row_that_starts_elsewhere_says_how_good_it_was_before_its_own_training() -> None:
    started = []
    for shot, seed, accuracy, best in ((1, 0, 51.25, 4), (5, 0, 70.5, 0), (5, 1, 71.75, 0)):
        record = make_record("ProtoNet", shot=shot, train_seed=seed, initialised_from="knn")
        history = [Validation(step=0, loss=0.0, accuracy=accuracy), *record.training.history]
        training = record.training.model_copy(update={"history": history, "best_step": best})
        started.append(record.model_copy(update={"training": training}))
    rows = [make_record("k-NN", row="knn"), make_record("k-NN", row="knn", shot=5)]
    text = to_markdown(build_table([*rows, *started]))
    where, shared = [line for line in text.splitlines() if line.startswith("- **Initialisation**")]
    assert where.partition("of every training of ProtoNet. ")[2] == (
        "Before its own training, on the validation episodes: ProtoNet 51.25 % at 1-shot, 70.50 / 71.75 % at 5-shot "
        "(kept: no step did better)."
    )
    assert "rows that start from one classifier share much of their accuracy" in shared


def test_the_images_of_a_training_stand_beside_its_steps_where_they_are_known() -> None:
    records = [make_record("k-NN", steps=2800), make_record("ProtoNet", steps=2800), make_record("Ridge")]
    known = [record.model_copy(update={"step_images": 100}) for record in records[:1]]
    assert "images, 1-shot" not in to_markdown(build_table(records))
    text = to_markdown(build_table([*known, *records[1:]]))
    head = next(line for line in text.splitlines() if "training seeds" in line and line.startswith("| Method"))
    cells = {
        line.split("|")[1].strip(): line.split("|")[-2].strip() for line in text.splitlines() if " of 3,000" in line
    }
    assert head.split("|")[-2].strip() == "images, 1-shot"
    assert cells == {"k-NN": "280,000", "ProtoNet": "–", "Ridge": "–"}


def test_ranks_of_rows_with_different_backbones_say_so() -> None:
    records = [make_record("k-NN"), make_record("ProtoNet").model_copy(update={"backbone_label": "ResNet-12"})]
    sentence = "Backbones differ, so a rank is one of method and network together."
    assert sentence in _line(to_markdown(build_table(records)), "- **Rank**")
    assert sentence not in to_markdown(build_table([records[0], make_record("ProtoNet")]))


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({"weights": "a"}, None),
        ({"weights": "b"}, "For MAML that was another training of it than the one in this table."),
        ({"weights": "b", "shot": 5}, None),
        ({"weights": None}, "Whether it was the one in this table is not recorded of every training of MAML."),
    ],
    ids=["the same", "another", "of another shot", "not recorded"],
)
def test_a_row_that_started_from_another_training_of_its_start_says_so(
    start: dict[str, Any], sentence: str | None
) -> None:
    def trained(record: Record, **facts: str | None) -> Record:
        return record.model_copy(update={"training": record.training.model_copy(update=facts)})

    first = trained(make_record("fo-MAML", row="fomaml", shot=start.get("shot", 1)), weights=start["weights"])
    then = trained(make_record("MAML", initialised_from="fomaml"), weights="c", start="a")
    said = _line(to_markdown(build_table([first, then])), "- **Initialisation**")
    assert re.findall(r"(?:For|Whether) [^.]+\.", said) == ([sentence] if sentence else [])


def test_what_the_answers_of_a_row_depend_on_is_said() -> None:
    record = make_record("ProtoNet").model_copy(update={"declared": ["order_matters"]})
    text = to_markdown(build_table([make_record("k-NN"), record]))
    assert "the answers of ProtoNet depend on the order of the support images" in _line(text, "- **Arbitrary**")
    assert "**Arbitrary**" not in to_markdown(build_table([make_record("k-NN")]))


def test_a_row_that_deviates_from_its_paper_is_marked_and_says_in_what() -> None:
    record = make_record("ProtoNet").model_copy(update={"deviates": "cosine schedule, 1 % of the steps"})
    table = build_table([make_record("k-NN"), record])
    text = to_markdown(table)
    assert "| ProtoNet ‖ " in text
    assert "| k-NN  " in text
    line = _line(text, "- **Deviation**")
    assert line == "- **Deviation**: ‖ ProtoNet, from the training of its paper: cosine schedule, 1 % of the steps"
    latex, page = to_latex(table, notes="full"), to_html({"t": table})
    assert r"ProtoNet$^{\Vert}$ &" in latex
    assert r"\textbf{Deviation:} $\Vert$ ProtoNet, from" in latex
    assert "ProtoNet\N{NO-BREAK SPACE}‖" in page
    assert line.partition(": ")[2] in page


def test_reduced_training_is_stamped_under_the_title_and_on_its_rows() -> None:
    records = [*_suite()[:4], make_record("fo-MAML", fraction=0.1), make_record("fo-MAML", shot=5, fraction=0.1)]
    lines = to_markdown(build_table(records)).splitlines()
    assert lines[2] == "**reduced training** (10 % of the suite's length) in the rows marked §"
    assert [line.split(" |")[0].strip() for line in lines[6:9]] == ["| k-NN", "| ProtoNet", "| fo-MAML §"]


def test_full_training_carries_no_stamp() -> None:
    text = to_markdown(build_table(_suite()))
    assert "reduced" not in text
    assert "§" not in text


def test_training_seeds_show_their_spread_and_say_what_it_is() -> None:
    records = [make_record("ProtoNet", correct, train_seed=seed) for seed, correct in ((3, (75, 45)), (1, (45, 60)))]
    text = to_markdown(build_table(records))
    assert "| **75.00 ± 63.53** (7.07) |" in text
    assert "- **Training seeds**: " in text
    assert "|             1, 3 |" in text


def test_missing_cells_are_dashes_with_their_reason() -> None:
    text = to_markdown(build_table(_suite()[:3]))
    cells = [cell.strip() for cell in _line(text, "| ProtoNet").split("|")[1:-1]]
    assert cells[4:] == ["–", "–", "–"]
    assert "- **Missing**: no finished record of ProtoNet on omniglot 5-way 5-shot. A row with a gap has" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("_emphasis_", r"\_emphasis\_"),
        ("traffic_sign", "traffic_sign"),
        ("**bold** `code`", r"\*\*bold\*\* \`code\`"),
        ("[link](http://x)", r"\[link\](http://x)"),
        ("back\\slash & co", r"back\\slash &amp; co"),
    ],
)
def test_names_are_shown_literally(name: str, shown: str) -> None:
    record = make_record(name, row="row", method="method", source=name, suite=name)
    text = to_markdown(build_table([record.model_copy(update={"backbone_label": name})]))
    cells = [cell.strip() for cell in text.splitlines()[4].replace(r"\|", "\0").split("|")[1:-1]]
    assert [cell.replace("\0", r"\|") for cell in cells[:2]] == [shown, shown]
    assert text.splitlines()[0] == f"# {shown}"
    assert f"- **Episodes**: {shown}, test split" in text


def test_an_incomplete_training_source_is_named_where_no_column_does_it() -> None:
    partial = {"omniglot": "partial (10 per class)", "dtd": "partial (10 of 47 classes, 120 per class)"}
    text = to_markdown(build_table([make_record(train_partial=partial)]))
    assert "- **Trained on**: of dtd, partial (10 of 47 classes, 120 per class)." in text.splitlines()
    assert "of omniglot, partial" not in text
