"""How a benchmark is made: ours and a peer in turn, on the same work, in one process.

`pytest benchmarks --ratios FILE.json` writes the ratios to the file and as Markdown beside it. With `--tuned`
glibc's allocation thresholds are raised for the whole process, so for both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from fsbench.engine.devices import tune_process
from fsbench.files.atomic import write_atomic
from fsbench.run.environment import describe_environment
from ratios import Ratio, ratio_of, to_markdown, update

Result = TypeVar("Result")
_ratios = pytest.StashKey[list[Ratio]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ratios", type=Path, help="JSON file for the ratios; the same as Markdown beside it.")
    parser.addoption("--tuned", action="store_true", help="Raise glibc's allocation thresholds, for both sides.")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ratios] = []
    if config.getoption("--tuned"):
        tune_process(deterministic=False)


class Beside:
    """Times ours beside a peer and keeps the ratio."""

    def __init__(self, benchmark: BenchmarkFixture, config: pytest.Config) -> None:
        self._benchmark, self._config = benchmark, config

    def __call__(
        self,
        topic: str,
        what: str,
        *,
        ours: Callable[[], Result],
        peer: Callable[[], Result],
        peer_name: str,
        agree: Callable[[Result, Result], object],
        unit: str,
        our_work: float,
        their_work: float | None = None,
        target: float | None = None,
        rounds: int = 9,
        note: str = "",
    ) -> None:
        """Run the peer and ours in turn.

        Args:
            topic: What is compared, e.g. "sampling".
            what: The work, e.g. "Omniglot, 5-way 1-shot".
            ours: Does it our way.
            peer: Does it the other way.
            peer_name: Who that is.
            agree: Raises when the two results are not the same; called before the timing.
            unit: Of the rates, e.g. "episodes/s".
            our_work: How many of them one call of `ours` does.
            their_work: How many one call of `peer` does; default as many.
            target: The ratio to reach.
            rounds: How often each is timed, after one run untimed.
            note: What a reader must know.
        """
        agree(ours(), peer())
        theirs: list[float] = []

        def timed_peer() -> None:
            started = time.perf_counter()
            peer()
            theirs.append(time.perf_counter() - started)

        self._benchmark.pedantic(ours, setup=timed_peer, rounds=rounds, iterations=1)
        if self._benchmark.disabled:
            return
        seconds = self._benchmark.stats.stats.data
        rate, their_rate, quartiles = ratio_of(
            seconds, theirs[-rounds:], our_work=our_work, their_work=their_work or our_work
        )
        self._benchmark.extra_info.update(peer=peer_name, ratio=quartiles[1])
        allocation = "tuned" if self._config.getoption("--tuned") else "default"
        self._config.stash[_ratios].append(
            Ratio(topic, what, peer_name, unit, rate, their_rate, quartiles, rounds, target, allocation, note)
        )


@pytest.fixture
def beside(benchmark: BenchmarkFixture, pytestconfig: pytest.Config) -> Beside:
    return Beside(benchmark, pytestconfig)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ratios = config.stash[_ratios]
    if not ratios:
        return
    known = describe_environment(torch.device("cpu"))
    environment: dict[str, Any] = {
        "Python": known.python,
        "torch": known.torch,
        "NumPy": known.numpy,
        "device": known.device,
        "threads": known.threads,
        "commit": known.commit,
    }
    path: Path | None = config.getoption("--ratios")
    if path is not None:
        ratios, environment = update(path, ratios, environment)
        write_atomic(path.with_suffix(".md"), to_markdown(ratios, environment))
    terminalreporter.write_line("")
    terminalreporter.write_line(to_markdown(ratios, environment))
