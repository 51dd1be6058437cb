from __future__ import annotations

import pytest

from fsbench.errors import UsageError
from fsbench.run.options import Options, selected_rows
from fsbench.suite import Suite
from fsbench.suite_files import load_suite


def labelled() -> Suite:
    """The suite glyphs with a row that has a label of its own, and one whose method's label is another's too."""
    content = load_suite("glyphs").model_dump()
    rows = content["methods"]
    rows["proto-5way"] = rows["proto"] | {"label": "ProtoNet (5-way training)"}
    rows["matching-again"] = rows["matching"]
    rows["relation-transductive"] = rows["relation"] | {"method": "relation-transductive"}
    return Suite.model_validate(content)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("proto", "proto"),
        ("ProtoNet", "proto"),
        ("PROTONET", "proto"),
        ("k-nn", "knn"),
        ("Proto-5way", "proto-5way"),
        ("protonet (5-WAY training)", "proto-5way"),
        ("fo-Proto-MAML", "foprotomaml"),
        ("RelationNet", "relation"),
        ("relationnet (transductive)", "relation-transductive"),
    ],
)
def test_a_row_is_chosen_by_its_name_or_label_in_any_case(name: str, row: str) -> None:
    assert selected_rows(labelled(), Options(rows=(name,))) == [row]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "matchingnet",
            "'matchingnet' may be any of the rows matching, matching-again of the suite .*; say which",
        ),
        ("prott", "unknown method of the suite glyphs 'prott'; did you mean 'proto'"),
    ],
)
def test_a_name_of_several_rows_or_of_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        selected_rows(labelled(), Options(rows=(name,)))
