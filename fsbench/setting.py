"""What settings of episodes and rows are called, the same in tables, comparisons, protocols and options."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["PROTOCOLS", "ProtocolName", "row_label", "setting_of"]

ProtocolName: TypeAlias = Literal["fixed", "variable", "k-shot"]
PROTOCOLS: Final[tuple[ProtocolName, ...]] = get_args(ProtocolName)


def setting_of(way: int | None, shot: int | None) -> str:
    """Way and shot in words; None: they vary, and a way of None beside a shot is all classes."""
    if shot is None:
        return "variable way and shot"
    return f"{'all' if way is None else way}-way {shot}-shot"


def row_label(label: str, *, transductive: bool) -> str:
    """How a row is called in tables: by its label, which says that the row is transductive if it is."""
    return f"{label} (transductive)" if transductive and "transductive" not in label else label
