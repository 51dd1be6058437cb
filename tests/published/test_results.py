"""Published results: their files, the command that prints them, and Meta-Dataset's ranks made from them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsbench.cli.reported import reported
from fsbench.data.card import list_cards
from fsbench.errors import UsageError
from fsbench.published.results import Reported, load_reported, read_reported, reported_suites
from fsbench.report.reported import published_ranks
from fsbench.stats.ranks import average_ranks
from fsbench.suite_files import load_suite

HEAD = "train_sources,test_source,method,backbone,way,shot,mean,ci95,episodes,transductive,other_protocol,source\n"
LINE = "a+b,c,M,B,5,1,50.10,0.5,600,true,,S\n"

METHODS = ["k-NN", "Finetune", "MatchingNet", "ProtoNet", "fo-MAML", "RelationNet", "fo-Proto-MAML"]
AVERAGES = {  # as published, in the order of METHODS
    1: ["5.70", "2.90", "4.65", "2.65", "3.70", "6.55", "1.85"],
    8: ["5.05", "3.60", "4.95", "2.85", "4.25", "5.80", "1.50"],
}


def _half(train_sources: int) -> list[Reported]:
    return [result for result in load_reported("metadataset") if len(result.train_sources) == train_sources]


def _print(*arguments: str) -> str:
    result = CliRunner().invoke(reported, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _line(text: str, start: str) -> str:
    return " ".join(next(line for line in text.splitlines() if line.startswith(start)).split())


def test_every_published_result_is_there_once_with_its_source() -> None:
    assert {suite: len(load_reported(suite)) for suite in reported_suites()} == {
        "cifar-fs": 19,
        "cub": 70,
        "fc100": 7,
        "metadataset": 140,
        "miniimagenet": 298,
        "omniglot": 119,
        "tieredimagenet": 72,
    }
    everything = load_reported()
    assert len(everything) == 725
    assert all(result.source.strip() for result in everything)
    places = Counter(
        (r.suite, r.train_sources, r.test_source, r.method, r.backbone, r.setting, r.source) for r in everything
    )
    assert [place for place, times in places.items() if times > 1] == []


def test_means_keep_the_decimals_that_were_printed() -> None:
    figures = {result.figure for result in load_reported("omniglot")}
    assert {"98.8", "98.90 ± 0.10", "98.7 ± 0.4"} <= figures


def test_sources_bear_the_names_of_cards_and_suites() -> None:
    cards = {card.name for card in list_cards()}
    names = {name for result in load_reported() for name in (*result.train_sources, result.test_source)}
    assert {name.partition(":")[0] for name in names} - cards == {"cub"}  # its split is not that of cu_birds
    suite = load_suite("metadataset-all")
    assert {result.test_source for result in _half(8)} == {*suite.sources.test}
    assert {result.train_sources for result in _half(8)} == {tuple(suite.sources.train)}
    assert {result.train_sources for result in _half(1)} == {tuple(load_suite("metadataset-ilsvrc").sources.train)}


@pytest.mark.parametrize(
    ("suite", "method", "marks"),
    [
        ("omniglot", "ProtoNet", ""),
        ("omniglot", "MAML", "†‡"),
        ("omniglot", "Reptile", "‡"),
        ("omniglot", "fo-MAML (transductive)", "†‡"),
        ("omniglot", "RelationNet", "†‡"),
        ("omniglot", "MANN", "‡"),
        ("omniglot", "SNAIL", "‡"),
        ("miniimagenet", "MatchingNet (+fine-tune)", "‡"),
        ("miniimagenet", "MAML (CloserLook)", "†"),
        ("miniimagenet", "MetaOptNet-SVM-trainval", "‡"),
        ("metadataset", "fo-MAML", "‡"),
        ("metadataset", "RelationNet", "†‡"),
    ],
)
def test_marks_say_what_a_result_is_not_like(suite: str, method: str, marks: str) -> None:
    assert {result.marks for result in load_reported(suite) if result.method == method} == {marks}


def test_the_reason_of_a_mark_stands_with_the_source() -> None:
    maml = next(result for result in load_reported("miniimagenet") if result.method == "MAML")
    assert maml.reference.endswith("; ‡ K queries per class")
    proto = next(result for result in load_reported("miniimagenet") if result.method == "ProtoNet")
    assert proto.reference == proto.source


@pytest.mark.parametrize("train_sources", AVERAGES)
def test_the_published_average_ranks_follow_from_the_published_figures(train_sources: int) -> None:
    averages = average_ranks(published_ranks(_half(train_sources)))
    assert [f"{averages[method]:.2f}" for method in METHODS] == AVERAGES[train_sources]
    assert [round(20 * averages[method], 9) % 1 for method in METHODS] == [0] * 7  # no digit beyond those


def test_ranks_on_single_sources() -> None:
    ranks = published_ranks(_half(1))
    assert len(ranks) == 10
    assert [ranks["cu_birds"][method] for method in METHODS] == [6.5, 5, 3.5, 1.5, 3.5, 6.5, 1.5]
    assert [ranks["fungi"][method] for method in METHODS] == [4, 3, 5, 1.5, 6, 7, 1.5]


def test_both_halves_are_printed_with_their_average_ranks() -> None:
    text = _print("metadataset")
    assert [line.split()[2:] for line in text.splitlines() if line.startswith("average rank")] == [*AVERAGES.values()]
    assert _line(text, "test source") == (
        "test source k-NN ‡ Finetune †‡ MatchingNet ‡ ProtoNet ‡ fo-MAML ‡ RelationNet †‡ fo-Proto-MAML ‡"
    )
    assert _line(text, "mscoco").startswith("mscoco 30.38 ± 0.99 34.86 ± 0.97")
    assert text.count("omniglot:metadataset ") == 2


def test_one_method_keeps_its_rank_among_all() -> None:
    text = _print("metadataset", "--method", "k-NN")
    assert [line.split()[2:] for line in text.splitlines() if line.startswith("average rank")] == [["5.70"], ["5.05"]]
    assert "ProtoNet" not in text


def test_the_table_of_the_lecture_stands_under_its_right_name() -> None:
    text = _print("tieredimagenet")
    for line in [
        "MAML †‡ Conv4 51.67 ± 1.81 70.30 ± 1.75 1",
        "ProtoNet Conv4 53.31 ± 0.89 72.69 ± 0.74 2",
        "RelationNet † Conv4 54.48 ± 0.93 71.32 ± 0.78 2",
        "LEO ‡ WRN-28-10 66.33 ± 0.05 81.44 ± 0.09 3",
        "MetaOptNet-SVM ResNet-12 65.99 ± 0.72 81.56 ± 0.53 2",
    ]:
        assert _line(text, line.split()[0] + " ") == line
    assert "tieredImageNet columns of the results table of the MetaOptNet paper" in text
    assert "A well-known lecture shows these figures under the title MiniImageNet" in text


def test_the_five_way_table_has_both_data_sets_under_their_own_names() -> None:
    text = _print("--suite", "five-way")
    assert _line(text, "method") == "method tieredimagenet tieredimagenet miniimagenet miniimagenet"
    for line in [
        "MAML 51.67 ± 1.81 †‡ 70.30 ± 1.75 †‡ 48.70 ± 1.84 †‡ 63.11 ± 0.92 †‡",
        "ProtoNet 53.31 ± 0.89 72.69 ± 0.74 49.42 ± 0.78 68.20 ± 0.66",
        "RelationNet 54.48 ± 0.93 † 71.32 ± 0.78 † 50.44 ± 0.82 † 65.32 ± 0.70 †",
        "LEO 66.33 ± 0.05 ‡ 81.44 ± 0.09 ‡ 61.76 ± 0.08 ‡ 77.59 ± 0.12 ‡",
        "MetaOptNet-SVM 65.99 ± 0.72 81.56 ± 0.53 62.64 ± 0.61 78.63 ± 0.46",
    ]:
        assert _line(text, line.split()[0] + " ") == line
    assert "  miniimagenet, MetaOptNet-SVM, ResNet-12: Lee et al. 2019" in text
    assert "five-way" in _print()


def test_suite_method_and_shot_choose() -> None:
    text = _print("--suite", "omniglot", "--method", "RelationNet", "--shot", "5")
    assert _line(text, "method") == "method backbone 5-way 5-shot 20-way 5-shot source"
    assert _line(text, "RelationNet") == "RelationNet †‡ Conv4-64 (NP, 64x5x5) 99.8 ± 0.1 99.1 ± 0.1 1"
    assert "  1  Sung et al. 2018 (arXiv 1711.06025) Table 1;" in text
    assert _print("omniglot", "--method", "relation", "--shot", "5") == text


def test_a_method_includes_its_variants_unless_one_is_named() -> None:
    rows = [line for line in _print("cub", "--method", "protonet").splitlines() if line.startswith("ProtoNet")]
    assert len(rows) == 5
    named = _print("omniglot", "--method", "reptile (transductive)").splitlines()
    assert [line.split("  ")[0] for line in named if line.startswith("Reptile")] == ["Reptile (transductive) †‡"]
    assert "\n\n\n" not in _print("cub", "--method", "ProtoNet")


def test_without_a_suite_the_suites_are_listed() -> None:
    assert _print().splitlines()[3] == "metadataset     140 results"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["miniimagenett"], "unknown suite of published results 'miniimagenett'; did you mean 'miniimagenet'?"),
        (
            ["--suite", "glyphs"],
            "unknown suite of published results 'glyphs'; known: cifar-fs, cub, fc100",
        ),
        (["omniglot", "--method", "Proto"], "unknown published method of omniglot 'Proto'; did you mean 'ProtoNet'?"),
        (["omniglot", "--shot", "3"], "omniglot has no published results at 3-shot; known: 1, 5."),
        (["metadataset", "--shot", "5"], "metadataset has no published results at 5-shot; its shots vary, so leave"),
        (["five-way", "--shot", "5"], "five-way is printed whole; leave --method and --shot out."),
        (["cub", "--suite", "omniglot"], "the suite is given twice, as 'cub' and 'omniglot'; keep one of them."),
    ],
)
def test_what_is_not_there_is_one_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        CliRunner().invoke(reported, arguments, catch_exceptions=False)
    assert str(error.value).startswith(sentence)


def test_a_line_becomes_a_result(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(HEAD + LINE, encoding="utf-8")
    (result,) = read_reported(file)
    assert (result.suite, result.train_sources, result.way, result.ci95) == ("mine", ("a", "b"), 5, Decimal("0.5"))
    assert (result.figure, result.marks, result.reference) == ("50.10 ± 0.5", "†", "S")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + LINE + LINE.replace("50.10", "101"), "mine.csv, line 3: mean is '101'; "),
        (HEAD + LINE.replace("50.10", "nan"), "mine.csv, line 2: mean is 'nan'; "),
        (HEAD + LINE.replace("0.5", "-1"), "mine.csv, line 2: ci95 is '-1'; "),
        (HEAD + LINE.replace(",S", ","), "mine.csv, line 2: source is ''; "),
        (HEAD + LINE.replace("a+b", "a+"), "mine.csv, line 2: train_sources is ''; "),
        (HEAD + LINE.replace("true", "maybe"), "mine.csv, line 2: transductive is 'maybe'; "),
        (HEAD + LINE.replace(",5,1,", ",5,,"), "mine.csv, line 2: way and shot are both given"),
        (HEAD + LINE.replace(",S", ",S,more"), "mine.csv, line 2: beyond the last is ['more']; "),
        (HEAD.replace("mean", "average") + LINE, "mine.csv has the columns train_sources, "),
        ("", "mine.csv has the columns ; it needs train_sources, "),
    ],
)
def test_a_file_that_does_not_fit_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_reported(file)
    assert str(error.value).startswith(sentence)
