"""Records as the metadata of a model card on the Hugging Face Hub: a `model-index`, one card a row.

The fields are those of `modelcard.md` in https://github.com/huggingface/hub-docs. The Hub shows source, metric and
value; all else that makes a figure comparable stands in `args`, and in the text of the card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fsbench.records import Record
from fsbench.report.comparable import comparable, deviations, task_name
from fsbench.report.markdown import escape, pipe_table
from fsbench.setting import row_label, setting_of
from fsbench.text import path_part

__all__ = ["replaces", "to_model_cards"]

_OF_DATA = ("way", "shot", "queries", "episodes", "episode_set", "episode_seed", "sampler", "image_size", "pack")
_EXPLAINED: Final = (
    "± is the half width of the 95 % confidence interval over the episodes. Figures are comparable with others of the "
    "same episodes (by their hash) and track. Track A: trained on the suite's own classes; B: trained elsewhere, "
    "without known overlap with the test classes; C: with overlap, or it is not known."
)


def to_model_cards(records: Iterable[Record]) -> dict[str, str]:
    """Write a model card for every row of a suite.

    Returns:
        Path, `SUITE/ROW/README.md`, to text: the metadata as YAML, and the same figures for a reader.
    """
    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(f"{path_part(record.identity.suite)}/{path_part(record.identity.row)}/README.md", []).append(
            record
        )
    return {path: _card(found) for path, found in rows.items()}


def replaces(card: str, earlier: str) -> bool:
    """Whether a card has every figure of an earlier one, and that is one: nothing is lost where it takes its place."""
    now, before = (set(re.findall(r'^ +cell: "(\w+)"', text, re.MULTILINE)) for text in (card, earlier))
    return bool(before) and before <= now


def _card(records: Sequence[Record]) -> str:
    first = records[0]
    name = f"{row_label(first.label, transductive=first.identity.transductive)}, {first.backbone_label}"
    metadata = {
        "library_name": "fsbench",
        "pipeline_tag": "image-classification",
        "tags": ["few-shot-learning", "fsbench"],
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": list(map(_result, records))}],
    }
    sources = "+".join(first.identity.train_sources)
    origin = f"Trained on {escape(sources)}." if sources else "Not trained by fsbench."
    table = pipe_table(
        ("Measured on", "Accuracy, percent", "Episodes", "Hash", "Training seed", "Track", "Note"),
        [_line(record) for record in records],
        ("left", "right", "right", "left", "right", "left", "left"),
    )
    version, suite = escape(first.environment.fsbench), escape(first.identity.suite)
    parts = [
        "\n".join(["---", *_yaml(metadata), "---"]),
        f"# {escape(name)}",
        f"Few-shot image classification, measured by fsbench {version} with its suite {suite}. {origin}",
        table,
        _EXPLAINED,
    ]
    return "\n\n".join(parts) + "\n"


def _line(record: Record) -> list[str]:
    identity = record.identity
    notes = ["transductive" if identity.transductive else "", deviations(record)]
    return [
        escape(task_name(record)),
        f"{record.mean:.2f} ± {record.ci95:.2f}",
        f"{identity.episodes:,}",
        escape(identity.episode_set[:12]),
        str(identity.train_seed),
        record.track,
        escape("; ".join(filter(None, notes))),
    ]


def _result(record: Record) -> dict[str, Any]:
    identity, facts = record.identity, comparable(record)
    return {
        "task": {
            "type": "image-classification",
            "name": f"Few-shot image classification, {setting_of(identity.way, identity.shot)}",
        },
        "dataset": {
            "type": identity.source.replace(":", "-"),  # which the Hub takes in no type
            "name": identity.source,
            "split": identity.split,
            "args": {name: facts[name] for name in _OF_DATA if name in facts},
        },
        "metrics": [
            {
                "type": "accuracy",
                "value": round(record.mean, 6),
                "name": f"Accuracy over {identity.episodes:,} episodes, percent",
                "args": {name: value for name, value in facts.items() if name not in _OF_DATA and name != "split"},
            }
        ],
    }


def _yaml(value: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A mapping as YAML in blocks; its scalars are those of JSON, which YAML takes as they are."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield f"{indent}{key}:"
            yield from _yaml(inner, indent + "  ")
        elif isinstance(inner, list):
            yield f"{indent}{key}:"
            for item in inner:
                lines = list(_yaml(item, indent + "  ")) if isinstance(item, Mapping) else [_scalar(item)]
                yield f"{indent}- {lines[0].lstrip()}"
                yield from lines[1:]
        else:
            yield f"{indent}{key}: {_scalar(inner)}"


def _scalar(value: str | int | float | bool) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return re.sub(r"^(-?\d+)e", r"\1.0e", text)  # YAML 1.1 knows no exponent without a point
