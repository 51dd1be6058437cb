"""Rows of different tracks are never ranked, set in bold or paired together."""

from __future__ import annotations

from typing import Any

import pytest

from fsbench.records import Pretraining, Record
from fsbench.report.arrange import build_table
from fsbench.report.differences import differences
from fsbench.report.figures import critical_differences
from fsbench.report.findings import findings
from fsbench.report.footnote import footnote
from fsbench.report.frames import table_frame
from fsbench.report.html import to_html
from fsbench.report.latex import to_latex
from fsbench.report.layout import AVERAGE_RANK, Name, lay_out
from fsbench.report.table import Table
from helpers.factories import make_record

SEEN = Pretraining(corpora=["imagenet-1k"], overlap="some", library="timm 1", fingerprint=[0.0])
BETTER, WORSE, WORST = (70, 72, 71, 73, 70), (50, 52, 53, 51, 50), (40, 41, 40, 42, 43)


def external(label: str, correct: tuple[int, ...], track: str, source: str = "omniglot", **facts: Any) -> Record:
    images = {"size": 224, "channels": 3, "mean": [0.5] * 3, "std": [0.5] * 3}
    record = make_record(label, correct, source=source, images=images, pack=f"{source}-224", engine=1, **facts)
    changes: dict[str, Any] = {"track": track, "pretraining": SEEN, "backbone_label": "Lite0"}
    return record.model_copy(update=changes)


def own(label: str, correct: tuple[int, ...], source: str = "omniglot", **facts: Any) -> Record:
    return make_record(label, correct, source=source, engine=1, **facts)


def test_pretrained_backbones_that_compute_in_bf16_are_named() -> None:
    record = external("Ridge", BETTER, "B")
    half = record.model_copy(update={"training": record.training.model_copy(update={"precision": "bf16"})})
    texts = [note.text for note in footnote(build_table([half, own("k-NN", WORST)])) if note.term == "Precision"]
    assert texts == ["the pretrained backbones of Ridge compute in bf16."]


def rows(second: str = "C", shot: int = 1) -> list[Record]:
    return [
        own("ProtoNet", WORSE, shot=shot),
        own("k-NN", WORST, shot=shot),
        external("Ridge", BETTER, "B", shot=shot),
        external("SimpleShot", WORSE, "B", shot=shot),
        own("ProtoNet", WORSE, "birds", shot=shot),
        own("k-NN", WORST, "birds", shot=shot),
        external("Ridge", BETTER, second, "birds", shot=shot),
        external("SimpleShot", WORST, second, "birds", shot=shot),
    ]


def table(second: str = "C") -> Table:
    return build_table(rows(second))


def test_ranks_and_bold_are_those_within_a_track() -> None:
    lines = {line.name: line for line in table().lines}
    for leader, other in (("ProtoNet", "k-NN"), ("Ridge", "SimpleShot")):
        assert [figure.rank for figure in lines[leader].figures if figure] == [1.0, 1.0]
        assert [figure.rank for figure in lines[other].figures if figure] == [2.0, 2.0]
        assert all(figure is not None and figure.best for figure in lines[leader].figures)
        assert not any(figure is not None and figure.best for figure in lines[other].figures)
        assert (lines[leader].average_rank, lines[other].average_rank) == (1.0, 2.0)


def test_leaders_that_are_tied_are_bold_beside_one_that_leads_its_track_alone() -> None:
    records = [own("ProtoNet", WORSE), own("k-NN", (52, 50, 53, 51, 50)), external("Ridge", BETTER, "C")]
    lines = build_table([*records, external("SimpleShot", WORST, "C")]).lines
    figures = {line.name: figure for line in lines for figure in line.figures if figure is not None}
    assert {name for name, figure in figures.items() if figure.best} == {"ProtoNet", "k-NN", "Ridge"}


def test_latex_says_what_the_tracks_are_and_every_size() -> None:
    text = to_latex(build_table([own("ProtoNet", WORSE), external("Ridge", BETTER, "C")]))
    assert "leakage track C: weights with overlap, or it is not known; ranked apart" in text
    assert "leakage track B" not in text
    assert r"28$\times$28, 224$\times$224 pixels" in text


def test_pairs_are_of_one_track() -> None:
    families = differences(table())
    assert [family.place for family in families] == [
        "all sources",
        "all sources, track B and C",
        "omniglot",
        "omniglot, track B",
        "birds",
        "birds, track C",
    ]
    assert {family.methods for family in families} == {("ProtoNet", "k-NN"), ("Ridge", "SimpleShot")}
    assert len(findings(table())) == 2


def test_a_row_whose_peers_change_has_no_average_rank() -> None:
    records = [record for line in table().lines for record in line.records]
    other = [external("Cosine", WORSE, "B", source) for source in ("omniglot", "birds")]
    lines = {line.name: line for line in build_table([*records, *other]).lines}
    assert [lines[name].average_rank for name in ("Ridge", "SimpleShot", "Cosine")] == [None, None, None]
    assert lines["ProtoNet"].average_rank == 1.0
    assert [figure.rank for figure in lines["Cosine"].figures if figure] == [2.5, 1.0]


def test_one_row_of_a_track_is_not_compared_with_the_others() -> None:
    found = build_table([own("ProtoNet", WORSE), own("k-NN", WORST), external("Ridge", WORST, "C")])
    ridge = found.lines[2].figures[0]
    assert ridge is not None and (ridge.rank, ridge.best) == (1.0, True)
    assert [family.methods for family in differences(found)] == [("ProtoNet", "k-NN")]
    assert critical_differences(found) == {}
    assert table_frame(found).shape == (3, 3)


def test_the_note_says_why() -> None:
    notes = [note.text for note in footnote(table()) if note.term == "Leakage track"]
    assert len(notes) == 2
    assert "Lite0, pretrained on imagenet-1k: on omniglot B, since some; on birds C, since some." in notes[1]
    assert not [note for note in footnote(build_table([own("ProtoNet", WORSE)])) if note.term == "Leakage track"]


def test_the_ranks_of_tracks_are_told_apart() -> None:
    (ranks,) = [note.text for note in footnote(table()) if note.term == "Rank"]
    assert "among ProtoNet, k-NN; and apart from them Ridge, SimpleShot: the best method leads" in ranks
    averages = lay_out(build_table([*rows(), *rows(shot=5)]))[-1]
    assert [head.text for head in averages.heads] == ["Method", "Backbone", "track", AVERAGE_RANK]
    assert [line[2] for line in averages.lines] == [Name("A"), Name("A"), Name("B, C"), Name("B, C")]


def test_who_is_of_other_tracks_somewhere_has_no_gap_on_the_page() -> None:
    other = [external("Cosine", WORSE, "C", source) for source in ("omniglot", "birds")]
    page = to_html({"tiny": build_table([*table().records, *other])})
    assert "Without Cosine, of another leakage track on some sources." in page
    assert "for which a source is missing" not in page


def test_a_trained_row_may_have_seen_test_classes_too() -> None:
    seen = own("ProtoNet", WORSE).model_copy(update={"track": "C"})
    notes = [note.text for note in footnote(build_table([seen, own("k-NN", WORST)])) if note.term == "Leakage track"]
    assert "Conv4-64: on omniglot C, trained here on its classes." in notes


def test_one_size_has_one_pack() -> None:
    other = own("k-NN", WORST).model_copy()
    changed = other.identity.model_copy(update={"pack": "another"})
    with pytest.raises(Exception, match="has pack 'another' where others have 'omniglot-pack-digest'"):
        build_table([own("ProtoNet", WORSE), other.model_copy(update={"identity": changed})])
