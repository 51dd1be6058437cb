"""Model cards with a model-index: read as the Hub's own library and YAML read them."""

from __future__ import annotations

import re
from typing import Any

import yaml
from huggingface_hub import ModelCard  # both come with timm
from hypothesis import given, settings
from hypothesis import strategies as st

from fsbench.report.comparable import comparable
from fsbench.report.model_index import to_model_cards
from fsbench.text import printable
from helpers.factories import make_record


def _metadata(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_the_library_of_the_hub_reads_every_figure() -> None:
    records = [make_record(shot=shot, train_seed=seed) for shot in (1, 5) for seed in (0, 1)]
    cards = to_model_cards(records)
    assert list(cards) == ["tiny/protonet/README.md"]
    data = ModelCard(cards["tiny/protonet/README.md"]).data
    assert data.eval_results is not None
    found = [(result.dataset_type, result.metric_type, result.metric_value) for result in data.eval_results]
    assert found == [("omniglot", "accuracy", round(record.mean, 6)) for record in records]
    assert data.library_name == "fsbench"


def test_the_arguments_hold_what_makes_a_figure_comparable() -> None:
    record = make_record(transductive=True, fraction=1e-5).model_copy(update={"deviates": "no decay", "track": "B"})
    (card,) = to_model_cards([record]).values()
    (result,) = _metadata(card)["model-index"][0]["results"]
    (metric,) = result["metrics"]
    assert result["dataset"]["split"] == record.identity.split
    held = {"split": "test", **result["dataset"]["args"], **metric["args"]}
    assert held == comparable(record)
    assert held["training_fraction"] == 1e-5
    assert held["deviates"] == "reduced training (0.001 % of the suite's length); no decay"
    assert "| transductive; reduced training (0.001 % of the suite's length); no decay |" in card


def test_a_variable_protocol_and_rows_without_training_have_cards() -> None:
    (card,) = to_model_cards([make_record(shot=None, train_sources=[])]).values()
    (result,) = _metadata(card)["model-index"][0]["results"]
    assert "way" not in result["dataset"]["args"]
    assert result["task"]["name"] == "Few-shot image classification, variable way and shot"
    assert "Not trained by fsbench." in card


@settings(deadline=None, max_examples=40)
@given(label=st.text(min_size=1, max_size=40).filter(lambda text: printable(text) == text))
def test_no_name_breaks_the_metadata(label: str) -> None:
    record = make_record(row="row").model_copy(update={"label": label, "deviates": label})
    (card,) = to_model_cards([record]).values()
    (model,) = _metadata(card)["model-index"]
    assert model["name"] == f"{label}, Conv4-64"
    assert model["results"][0]["metrics"][0]["args"]["deviates"] == label


def test_the_type_of_a_source_is_one_that_the_hub_takes() -> None:
    """It takes letters, digits, `_`, `-` and `.`, with one `/` at most."""
    (card,) = to_model_cards([make_record(source="omniglot:metadataset")]).values()
    (result,) = _metadata(card)["model-index"][0]["results"]
    assert re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", result["dataset"]["type"])
    assert result["dataset"]["type"] == "omniglot-metadataset"
    assert result["dataset"]["name"] == "omniglot:metadataset"
