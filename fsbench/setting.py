"""The setting of episodes in words, the same in tables, comparisons and protocols."""

from __future__ import annotations

__all__ = ["setting_of"]


def setting_of(way: int | None, shot: int | None) -> str:
    """Way and shot in words; None: they vary."""
    return "variable way and shot" if way is None else f"{way}-way {shot}-shot"
