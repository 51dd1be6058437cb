"""The model of what is read from files that people write or edit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["StrictModel"]


class StrictModel(BaseModel):
    """A model that takes no key it does not know and no infinite number, and does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
