"""Hyper-parameters of another type or out of their range are refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from fsbench.errors import UsageError
from fsbench.methods.registry import METHODS, check_values, load_method
from helpers.commands import refused
from helpers.small import PARAMS

NUMBERS = [
    (name, key) for name, params in PARAMS.items() for key, value in params.items() if type(value) in (int, float)
]
POSITIVE = {"c", "hidden", "latent", "margin", "penalty", "scale", "strength", "temperature"}


def _is_positive(method: str, key: str) -> bool:
    """A head that starts at zero passes on no gradient without a step; fo-Proto-MAML's starts as ProtoNet's."""
    return key in POSITIVE or (key == "train_steps" and method != "foprotomaml")


def refusal(method: str, key: str, value: object) -> str:
    with pytest.raises(UsageError) as caught:
        check_values("methods.row.params", {key: value}, load_method(method))
    return str(caught.value)


@pytest.mark.parametrize(("method", "key"), NUMBERS)
def test_every_number_has_a_type_and_a_range(method: str, key: str) -> None:
    wrong: Iterator[Any] = iter(
        [-1, "1", True, None, [1], math.nan, math.inf, *([0] if _is_positive(method, key) else [])]
    )
    for value in wrong:
        assert refusal(method, key, value).startswith(f"methods.row.params.{key} is {value!r}: Input should be ")
        assert refusal(method, key, {"1": PARAMS[method][key], "5": value}).startswith(f"methods.row.params.{key} is")
    if type(PARAMS[method][key]) is int:
        assert "valid integer" in refusal(method, key, 1.5)


@pytest.mark.parametrize("method", [info.name for info in METHODS])
def test_what_the_tests_use_is_in_range(method: str) -> None:
    values = PARAMS[method] | ({"train_steps": 0} if method == "foprotomaml" else {})
    check_values("methods.row.params", values, load_method(method))


@pytest.mark.parametrize(
    ("method", "key", "value", "sentence"),
    [
        ("leo", "dropout", 1.0, "less than 1"),
        ("siamese", "margin", 2.5, "less than or equal to 2"),
        ("metaoptnet-svm", "smoothing", 0.6, "less than or equal to 0.5"),
        ("logistic", "strength", 1e300, "less than or equal to 1000000"),
        ("logistic-ensemble", "strengths", [1.0], "at least 2 items"),
        ("logistic-ensemble", "strengths", [1.0, 0], "1: Input should be greater than 0"),
        ("logistic-ensemble", "strengths", "0.1, 1", "valid list"),
    ],
)
def test_other_bounds(method: str, key: str, value: object, sentence: str) -> None:
    assert re.search(rf"{key} is .*: .*{re.escape(sentence)}", refusal(method, key, value))


def test_a_check_of_a_method_names_them_too() -> None:
    assert refused("check", "proto", "--param", "temperature=0") == (
        "proto.temperature is 0: Input should be greater than 0."
    )
