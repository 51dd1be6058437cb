"""fsbench: a benchmark suite for few-shot image classification."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
