"""The Markdown table: its exact text, its stamps, and names that try to break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from factories import make_record
from fsbench.records import Record
from fsbench.report.markdown import to_markdown
from fsbench.report.table import build_table

GOLDEN = Path(__file__).parent / "tiny.md"


def _suite() -> list[Record]:
    rows = [("k-NN", False, 40), ("ProtoNet", False, 60), ("fo-MAML", False, 61), ("fo-MAML", True, 66)]
    return [
        make_record(label, [right + shot + i for i in (0, 3, 1, 4)], shot=shot, transductive=transductive, steps=2800)
        for label, transductive, right in rows
        for shot in (1, 5)
    ]


def _line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_the_whole_text() -> None:
    assert to_markdown(build_table(_suite())) == GOLDEN.read_text(encoding="utf-8")


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


def test_several_sources_give_a_table_a_shot_and_one_of_average_ranks() -> None:
    others = [make_record(r.label, r.correct, source="traffic_sign", shot=r.identity.shot) for r in _suite()[:6]]
    text = to_markdown(build_table([*_suite()[:6], *others]))
    headings = ["# tiny", "## 5-way 1-shot", "## 5-way 5-shot", "## Average rank"]
    assert [line for line in text.splitlines() if line.startswith("#")][:4] == headings
    titles = " ".join(_line(text, "| Method").split())
    assert titles == "| Method | Backbone | omniglot | rank | traffic_sign | rank |"
    assert text.count("- **Episodes**: ") == 2


def test_reduced_training_is_stamped_under_the_title_and_on_its_rows() -> None:
    records = [*_suite()[:4], make_record("fo-MAML", fraction=0.1), make_record("fo-MAML", shot=5, fraction=0.1)]
    lines = to_markdown(build_table(records)).splitlines()
    assert lines[2] == "**reduced training** (10 % of the suite's length) in the rows marked †"
    assert [line.split(" |")[0].strip() for line in lines[6:9]] == ["| k-NN", "| ProtoNet", "| fo-MAML †"]


def test_full_training_carries_no_stamp() -> None:
    text = to_markdown(build_table(_suite()))
    assert "reduced" not in text
    assert "†" not in text


def test_training_seeds_show_their_spread_and_say_what_it_is() -> None:
    records = [make_record("ProtoNet", correct, train_seed=seed) for seed, correct in ((3, (75, 45)), (1, (45, 60)))]
    text = to_markdown(build_table(records))
    assert "| **75.00 ± 63.53** (7.07) |" in text
    assert "- **Training seeds**: " in text
    assert "|             1, 3 |" in text


def test_missing_cells_are_dashes_with_their_reason() -> None:
    text = to_markdown(build_table(_suite()[:3], missing=["ProtoNet at 5 shots: the loss became NaN."]))
    cells = [cell.strip() for cell in _line(text, "| ProtoNet").split("|")[1:-1]]
    assert cells[4:] == ["–", "–", "–"]
    assert "- **Missing**: no finished record of ProtoNet on omniglot 5-way 5-shot. A row with a gap has" in text
    assert "- **Missing**: ProtoNet at 5 shots: the loss became NaN." in text


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
        ("two\nlines", "two lines"),
    ],
)
def test_names_are_shown_literally(name: str, shown: str) -> None:
    record = make_record(name, row="row", method="method", source=name, suite=name)
    text = to_markdown(build_table([record.model_copy(update={"backbone_label": name})]))
    cells = [cell.strip() for cell in text.splitlines()[4].replace(r"\|", "\0").split("|")[1:-1]]
    assert [cell.replace("\0", r"\|") for cell in cells[:2]] == [shown, shown]
    assert text.splitlines()[0] == f"# {shown}"
    assert f"- **Episodes**: {shown}, test split" in text
