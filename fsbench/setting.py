"""What settings of episodes and rows are called, the same in tables, comparisons, protocols and options."""

from __future__ import annotations

__all__ = ["row_label", "setting_of"]


def setting_of(way: int | None, shot: int | None) -> str:
    """Way and shot in words; None: they vary."""
    return "variable way and shot" if way is None else f"{way}-way {shot}-shot"


def row_label(label: str, *, transductive: bool) -> str:
    """How a row is called in tables: by its label, which says that the row is transductive if it is."""
    return f"{label} (transductive)" if transductive and "transductive" not in label else label
