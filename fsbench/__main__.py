"""`python -m fsbench`: the command line."""

from __future__ import annotations

from fsbench.cli.main import main

__all__: list[str] = []

main(prog_name="fsbench")
