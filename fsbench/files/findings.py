"""What pydantic finds wrong in a table that somebody wrote, in the words of whoever wrote it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fsbench.errors import hint
from fsbench.files.toml import keys_of

__all__ = ["finding"]

_NO_TABLE = ("model_type", "model_attributes_type", "dict_type")


def finding(error: ValidationError, model: type[BaseModel], content: dict[str, Any]) -> tuple[list[str], str]:
    """What is wrong at the greatest depth, where the types that were tried on the way are fewest.

    Args:
        error: What validation ended with.
        model: What it validated against.
        content: What it validated.

    Returns:
        The keys that lead there, and a sentence about it.
    """
    found = [
        (keys_of(content, entry["loc"], entry["type"] == "missing"), entry) for entry in error.errors(include_url=False)
    ]
    # A key that is misspelt is unknown, and its right name missing.
    keys, _ = max(found, key=lambda each: (len(each[0]), each[1]["type"] == "extra_forbidden"))
    said = dict.fromkeys(_words(entry, model, keys, content) for at, entry in found if at == keys)
    sentence = "; or: ".join(said)
    return keys, sentence if sentence.endswith((".", "?")) else f"{sentence}."


def _words(entry: ErrorDetails, model: type[BaseModel], keys: Sequence[str], content: dict[str, Any]) -> str:
    kind, given, told = entry["type"], entry["input"], entry.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {keys[-1]!r}; {hint(keys[-1], _known(model, keys[:-1], content))}"
    if kind == "missing":
        return "it is missing; add it"
    if kind == "value_error":
        return str(told["error"])
    if kind in _NO_TABLE:
        return f"{given!r:.80} is no table of keys and values"
    if kind == "union_tag_invalid":
        return f"{told['discriminator']} is {told['tag']!r}, not one of {told['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"{told['discriminator']} is missing; add it"
    return entry["msg"]


def _known(model: type[BaseModel], keys: Sequence[str], content: Any) -> list[str]:
    """The keys of a model's table that some keys lead to."""
    tables: list[Any] = [model]
    for key in keys:
        content = content[key]
        inner = [table.model_fields[key].annotation if _is_model(table) else get_args(table)[1] for table in tables]
        tables = [table for each in inner for table in _tables(each)]
        tables = [table for table in tables if _is_model(table) and _fits(table, content)] or tables
    return [name for table in tables if _is_model(table) for name in table.model_fields]


def _tables(kind: Any) -> Iterator[Any]:
    """The types of tables that a type may be of: models, and dictionaries from names to values."""
    if _is_model(kind) or get_origin(kind) is dict:
        yield kind
    else:
        for inner in get_args(kind):
            yield from _tables(inner)


def _fits(model: type[BaseModel], content: Any) -> bool:
    """Whether a table says that it is of a model, as far as the model asks for that."""
    return isinstance(content, dict) and all(
        content.get(name) in get_args(field.annotation)
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal and field.is_required()
    )


def _is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)
