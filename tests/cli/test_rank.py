"""`fsbench rank`: what it prints, that it agrees with our own tables, and what it says of a bad file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsbench.cli.rank import rank
from fsbench.errors import UsageError
from fsbench.report.ranking import rank_file
from fsbench.report.write import write_reports
from helpers.factories import make_record

TABLE = """test_source,method,mean,ci95
Birds,k-NN,50.13,1.00
Birds,ProtoNet,68.79,1.01
Birds,fo-Proto-MAML,68.66,0.96
Fungi,k-NN,36.16,1.02
Fungi,ProtoNet,39.71,1.11
Fungi,fo-Proto-MAML,49.96,1.14
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(rank, [str(argument) for argument in arguments], catch_exceptions=False)


def test_json_goes_to_standard_output_alone(tmp_path: Path) -> None:
    result = _run(_file(tmp_path, TABLE), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "average": {"k-NN": 3, "ProtoNet": 1.75, "fo-Proto-MAML": 1.25},
        "ranks": {
            "Birds": {"k-NN": 3, "ProtoNet": 1.5, "fo-Proto-MAML": 1.5},
            "Fungi": {"k-NN": 3, "ProtoNet": 2, "fo-Proto-MAML": 1},
        },
    }


def test_without_json_it_prints_a_table(tmp_path: Path) -> None:
    assert _run(_file(tmp_path, TABLE)).stdout == (
        "+--------------+------+----------+---------------+\n"
        "|              | k-NN | ProtoNet | fo-Proto-MAML |\n"
        "+--------------+------+----------+---------------+\n"
        "|        Birds |  3.0 |      1.5 |           1.5 |\n"
        "|        Fungi |  3.0 |      2.0 |           1.0 |\n"
        "| average rank | 3.00 |     1.75 |          1.25 |\n"
        "+--------------+------+----------+---------------+\n"
    )


def test_order_of_lines_and_other_columns_do_not_matter(tmp_path: Path) -> None:
    header, *lines = TABLE.splitlines()
    text = "\n".join([f"{header},note", *(f'{line},"x, y"' for line in reversed(lines))])
    assert rank_file(_file(tmp_path, "\ufeff" + text)) == rank_file(_file(tmp_path, TABLE))


def test_one_way_and_shot_are_not_named_and_several_are(tmp_path: Path) -> None:
    header = "test_source,way,shot,method,mean,ci95\n"
    one = _file(tmp_path, f"{header}omniglot,5,1,a,50,1\nomniglot,5,1,b,60,1\n")
    assert rank_file(one).ranks == {"omniglot": {"a": 2, "b": 1}}
    several = f"{one.read_text()}omniglot,5,5,a,70,1\nomniglot,5,5,b,70,1\n"
    assert rank_file(_file(tmp_path, several)).ranks == {
        "omniglot 5-way 1-shot": {"a": 2, "b": 1},
        "omniglot 5-way 5-shot": {"a": 1.5, "b": 1.5},
    }


def test_transductive_lines_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    text = "test_source,method,mean,ci95,transductive\nx,a,50,1,false\nx,b,60,1,True\nx,c,40,1,\n"
    result = _run(_file(tmp_path, text), "--json")
    assert json.loads(result.stdout)["average"] == {"a": 1, "c": 2}
    assert result.stderr == "left out, being transductive: b\n"


def test_methods_of_other_tracks_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    text = "test_source,method,mean,ci95,track\nx,a,50,1,A\nx,b,60,1,B\nx,c,40,1,\ny,a,50,1,A\ny,b,60,1,C\ny,c,60,1,A\n"
    result = _run(_file(tmp_path, text), "--json")
    assert json.loads(result.stdout)["average"] == {"a": 1.5, "c": 1.5}
    assert result.stderr == "left out, being of another track: b\n"
    text = (
        "test_source,method,mean,ci95,track\nx,a,50,1,C\nx,b,60,1,C\ny,a,50,1,B\ny,b,60,1,B\nx,c,40,1,B\ny,c,40,1,B\n"
    )
    result = _run(_file(tmp_path, text), "--json")
    assert json.loads(result.stdout)["average"] == {"a": 2, "b": 1}
    assert result.stderr == "left out, being of another track: c\n"
    of_one = _run(_file(tmp_path, "test_source,method,mean,ci95,track\nx,a,50,1,C\nx,b,60,1,C\n"), "--json")
    assert json.loads(of_one.stdout)["average"] == {"a": 2, "b": 1}


def test_transductive_lines_do_not_choose_the_track(tmp_path: Path) -> None:
    lines = "x,a,50,1,false,B\nx,b,60,1,false,B\nx,c,70,1,true,A\n"
    result = _run(_file(tmp_path, f"test_source,method,mean,ci95,transductive,track\n{lines}"), "--json")
    assert json.loads(result.stdout)["average"] == {"a": 2, "b": 1}
    assert result.stderr == "left out, being transductive: c\n"


correct = st.lists(st.integers(0, 75), min_size=3, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["k-NN", "ProtoNet", "fo, MAML", 'a "b"']), st.tuples(correct, correct), min_size=1)
)
def test_our_own_table_csv_gives_our_own_ranks_csv(
    tmp_path: Path, rows: dict[str, tuple[list[int], list[int]]]
) -> None:
    records = [
        make_record(label, found, shot=shot)
        for label, both in rows.items()
        for shot, found in zip((1, 5), both, strict=True)
    ]
    write_reports([*records, make_record("other", (75, 75, 74), transductive=True)], tmp_path)
    with (tmp_path / "ranks.csv").open(newline="") as file:
        written = {line["method"]: float(line["average_rank"]) for line in csv.DictReader(file)}
    assert rank_file(tmp_path / "table.csv").average == pytest.approx(written, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no column 'test_source'; it needs test_source, method, mean, ci95, and has none"),
        ("test_source,method,mean\n", "no column 'ci95'; .*, and has test_source, method, mean"),
        ("test_source,method,mean,ci95\n", "no line to rank"),
        ("test_source,method,mean,ci95\nx,a,fifty,1\n", "line 2: mean is 'fifty', not a number"),
        ("test_source,method,mean,ci95\nx,a,50,1\nx,b,50,nan\n", "line 3: ci95 is 'nan', not a number"),
        ("test_source,method,mean,ci95\nx,a,50,-1\n", "line 2: ci95 is '-1', and a half width"),
        ("test_source,method,mean,ci95\nx,a,50\n", "line 2: the column 'ci95' is empty"),
        ("test_source,method,mean,ci95\nx,a, ,1\n", "line 2: the column 'mean' is empty"),
        ("test_source,method,mean,ci95\n\nx,a,1e9,1\n", "line 3: mean is '1e9', not a number below 1e\\+09"),
        ("number,test_source,method,mean,ci95\nn,x,a,fifty,1,extra\n", "line 2: mean is 'fifty'"),
        ("test_source,method,mean,ci95\nx,,50,1\n", "line 2: the column 'method' is empty"),
        (
            "test_source,method,mean,ci95\nx,a,50,1\nx,a,51,1\n",
            r"line 3: 'a' stands a second time on 'x' \(first on line 2",
        ),
        ("test_source,method,mean,ci95\nx,a,50,1\nx,b,51,1\ny,a,50,1\n", "'b' has no line for 'y'"),
        ("test_source,method,mean,ci95,transductive\nx,a,50,1,perhaps\n", "line 2: transductive is 'perhaps'"),
        ("test_source,method,mean,ci95,train_seed\nx,a,50,1,0\nx,a,51,1,1\n", "training seeds 0 and 1 on 'x'"),
        ("test_source,method,mean,ci95\nx,\0" + "y" * 200_000 + ",50,1\n", "cannot be read as CSV"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        rank_file(_file(tmp_path, text))


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as CSV"):
        rank_file(path)


def test_a_file_that_is_not_there_exits_with_2(tmp_path: Path) -> None:
    assert _run(tmp_path / "none.csv").exit_code == 2
