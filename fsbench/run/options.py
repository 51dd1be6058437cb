"""What a run changes of its suite, and which rows and test episodes that leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fsbench.episodes.kshot import SHOTS, SUPPORT_SETS
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import protocol_of
from fsbench.errors import UsageError, unknown
from fsbench.methods.registry import load_method
from fsbench.setting import ProtocolName, row_label
from fsbench.suite import Suite

if TYPE_CHECKING:
    from fsbench.engine.precision import Precision

__all__ = ["Options", "protocols_of", "selected_rows"]


@dataclass(frozen=True)
class Options:
    """What a run changes of its suite.

    Attributes:
        rows: Rows to run, or all.
        protocol: "fixed": as the suite says; "variable": Meta-Dataset's variable ways and shots, in training,
            validation and test; "k-shot": tests with all classes and on the whole test set.
        shots: Shots to run, or all.
        episodes: Test episodes, or as many as the suite says.
        seeds: Training seeds 0 to seeds - 1.
        fraction: Of the suite's training length.
        deterministic: Only operations that are reproducible bit by bit.
        precision: Of training, "auto", "fp32" or "bf16"; only one that is asked for enters the training's identity.
            Frozen backbones compute in bf16 only where it is asked for.
        split: Of the episodes; those of "val" have the number and the seed of the suite's validation.
    """

    rows: tuple[str, ...] = ()
    protocol: ProtocolName = "fixed"
    shots: tuple[int, ...] = ()
    episodes: int | None = None
    seeds: int = 1
    fraction: float = 1.0
    deterministic: bool = False
    precision: Precision = "auto"
    split: Literal["val", "test"] = "test"

    @property
    def variable(self) -> bool:
        """Whether ways and shots vary, and with them the shapes of what one step is given."""
        return self.protocol == "variable"


def selected_rows(suite: Suite, options: Options) -> list[str]:
    """The rows of a suite that a run wants, by name or by label in any case, in the suite's order.

    Raises:
        UsageError: A row is wanted that the suite does not have, or a label that several of its rows have.
    """
    wanted = {_row_called(suite, name) for name in options.rows}
    return [row for row in suite.methods if row in wanted or not wanted]


def _row_called(suite: Suite, name: str) -> str:
    if name in suite.methods:
        return name
    called: dict[str, list[str]] = {}
    for row, entry in suite.methods.items():  # labels are asked for only now, since loading methods takes seconds
        method = load_method(entry.method, suite.folder)
        label = row_label(entry.label or method.label, transductive=method.transductive)
        for each in {row.casefold(), label.casefold()}:
            called.setdefault(each, []).append(row)
    rows = called.get(name.casefold(), [])
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise UsageError(f"{name!r} may be any of the rows {', '.join(rows)} of the suite {suite.name}; say which.")
    raise unknown(f"method of the suite {suite.name}", name, suite.methods)


def protocols_of(suite: Suite, options: Options) -> list[AnyProtocol]:
    """How the test episodes of a suite are drawn, for every column of one source."""
    wanted, drawn = suite.episodes, suite.episodes if options.split == "test" else suite.validation
    way: int | None = wanted.way
    number, shots = options.episodes or drawn.number, list[int | None](options.shots or wanted.shots)
    if options.protocol == "variable":
        if options.shots:
            given = ", ".join(map(str, options.shots))
            raise UsageError(
                f"shots is {given}, but episodes of the protocol variable have no fixed shot; leave it out."
            )
        shots = [None]
    elif options.protocol == "k-shot":
        way, number, shots = None, options.episodes or SUPPORT_SETS, [*(options.shots or SHOTS)]
    return [protocol_of(options.split, way, shot, wanted.queries, episodes=number, seed=drawn.seed) for shot in shots]
