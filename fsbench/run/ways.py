"""Whether the methods of a plan answer as many ways as its episodes may have, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fsbench.data.pack import Pack
from fsbench.episodes.protocol import AnyProtocol
from fsbench.episodes.sampler import Rules, Sampler
from fsbench.errors import SuiteError
from fsbench.run.cells import Cell
from fsbench.run.trainable import trainings_of

if TYPE_CHECKING:
    from fsbench.methods.base import Method

__all__ = ["check_ways"]


def check_ways(
    cells: Iterable[Cell], methods: Mapping[str, type[Method]], packs: Mapping[str, Pack], rules: Rules
) -> None:
    """Compare what methods say of themselves (`most_ways`) with their training, validation and test episodes.

    It is asked what the protocols may draw, not what they did: a forecast draws one episode only, and a run that is
    made longer must not fail where a shorter one did not.

    Args:
        cells: Of a plan, whose trainings can be drawn (`fsbench.run.trainable.check_trainings`).
        methods: The class of every method by its name.
        packs: The pack of every source.
        rules: Which classes of them are drawn from.

    Raises:
        SuiteError: A method answers fewer; the text names the row.
    """

    def most(source: str, protocol: AnyProtocol) -> int:
        return protocol.most_ways(Sampler(packs[source], protocol, rules).pool)

    listed = list(cells)
    for training in trainings_of(listed):
        if methods[training.method].most_ways is not None:
            asked = [most(training.validation_source, training.validation)]
            if (drawn := training.schedule.protocol) is not None:
                asked += [most(source, drawn) for source in training.sources]
            _check(training.row, methods[training.method], max(asked))
    for cell in listed:
        identity, episodes = cell.identity, cell.episode_set
        if methods[identity.method].most_ways is not None:
            found = max(block.way for block in episodes.episodes.blocks)  # of a file they may be anybody's
            _check(identity.row, methods[identity.method], max(found, most(identity.source, episodes.protocol)))


def _check(row: str, method: type[Method], ways: int) -> None:
    if method.most_ways is not None and ways > method.most_ways:
        raise SuiteError(
            f"methods.{row} is trained or tested on {ways} ways, but {method.label} answers {method.most_ways} at "
            "most; leave the row out, or choose episodes of fewer ways."
        )
