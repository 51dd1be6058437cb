"""How often `fsbench compare` sees a real drop, and how often it gives a false alarm: simulated, for docs/ci.md.

`python benchmarks/compare_power.py` takes a minute. The means of trainings are drawn from normal distributions, and
judged by the very functions of the command.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fsbench.stats.paired import Difference, student
from fsbench.stats.seeds import SeedMeans, seed_differences
from fsbench.verdict import Verdict, verdicts

__all__ = ["NOISES", "Rates", "rates", "rates_over_episodes"]

CELLS: Final = 14  # of the suite glyphs: 7 rows, 2 shots
EPISODES: Final = 200  # of the suite glyphs
EPISODE_SD: Final = 7.0  # of paired differences between trainings on an episode, points, as in results/glyphs at 1 shot
STEP: Final = 100 / (75 * EPISODES)

DROPS: Final = (1.0, 2.0, 5.0)
SEEDS: Final = (2, 3, 5)

_Floats = npt.NDArray[np.float64]

# The standard deviations of the trainings' means, of every cell [cells].
NOISES: Final[dict[str, Callable[[np.random.Generator, int], _Floats]]] = {
    "0.5 in every cell": lambda _, cells: np.full(cells, 0.5),
    "0.2 to 1.0, evenly": lambda rng, cells: rng.uniform(0.2, 1, cells),
    "0.2 to 1.0, logarithms evenly": lambda rng, cells: np.exp(rng.uniform(math.log(0.2), 0, cells)),
    "0.2 in half of the cells, 1.0 in half": lambda _, cells: np.where(np.arange(cells) < cells // 2, 0.2, 1.0),
    "0.3, and 1.5 in one cell": lambda _, cells: np.where(np.arange(cells) < cells - 1, 0.3, 1.5),
}


class Rates(NamedTuple):
    """Shares of simulated tables, 0 to 1.

    Attributes:
        regressed: In which the dropped cell is called regressed; without a drop, any cell.
        noticed: The same for regressed or suspect, so that the command fails.
    """

    regressed: float
    noticed: float


def rates(
    noise: str,
    *,
    seeds: int,
    drop: float = 0.0,
    margin: float = 1.0,
    cells: int = CELLS,
    tables: int = 1000,
    shared: float = 0.0,
) -> Rates:
    """Simulate tables of trainings of which one cell drops, or none.

    Args:
        noise: Of `NOISES`.
        seeds: Two or more.
        drop: Of the first cell, points.
        margin: Percentage points.
        cells: Of a table.
        tables: How many.
        shared: Correlation between the cells of equal seeds, as of cells that share a training.
    """
    rng = np.random.default_rng(0)

    def trainings(deviations: _Floats) -> _Floats:
        common, own = rng.standard_normal(seeds), rng.standard_normal((cells, seeds))
        found: _Floats = (math.sqrt(shared) * common + math.sqrt(1 - shared) * own) * deviations[:, np.newaxis]
        return found

    def table() -> dict[int, Difference]:
        deviations = NOISES[noise](rng, cells)
        base, new = trainings(deviations), trainings(deviations)
        new[0] -= drop
        return seed_differences({cell: SeedMeans(base[cell], new[cell], STEP) for cell in range(cells)})

    return _rates(table, drop, margin, tables)


def rates_over_episodes(
    *, drop: float = 0.0, margin: float = 1.0, retrained: bool = False, cells: int = CELLS, tables: int = 1000
) -> Rates:
    """The same with one training seed, where the rule is over episodes and all cells but the first are identical.

    Args:
        drop: Of the first cell, points.
        margin: Percentage points.
        retrained: Whether all cells were trained again, with a standard deviation of 0.5, as by another machine.
        cells: Of a table.
        tables: How many.
    """
    rng = np.random.default_rng(0)

    def table() -> dict[int, Difference]:
        training = rng.normal(0, 0.5 * math.sqrt(2), cells) if retrained else np.zeros(cells)
        training[0] -= drop
        changed = training if retrained else training[:1]
        return {cell: student([mean + EPISODE_SD * rng.standard_normal(EPISODES)]) for cell, mean in enumerate(changed)}

    return _rates(table, drop, margin, tables)


def _rates(table: Callable[[], dict[int, Difference]], drop: float, margin: float, tables: int) -> Rates:
    regressed = noticed = 0
    for _ in range(tables):
        found: dict[int, Verdict] = {cell: verdict for cell, (verdict, _) in verdicts(table(), margin).items()}
        called = {found[0]} if drop else set(found.values())
        regressed += "regressed" in called
        noticed += bool(called & {"regressed", "suspect"})
    return Rates(regressed / tables, noticed / tables)


def main() -> None:
    """Print both tables as Markdown."""
    print("| seeds | no drop | 1 point | 2 points | 5 points |\n|:--|--:|--:|--:|--:|")
    for name, retrained in (("1, nothing else changed", False), ("1, trained elsewhere", True)):
        alarms = rates_over_episodes(retrained=True) if retrained else Rates(0.0, 0.0)
        _line(name, alarms, [rates_over_episodes(drop=drop, retrained=retrained) for drop in DROPS])
    for seeds in SEEDS:
        noise = "0.5 in every cell"
        _line(str(seeds), rates(noise, seeds=seeds), [rates(noise, seeds=seeds, drop=drop) for drop in DROPS])
    print(f"\n| sd of a training | {' | '.join(f'{seeds} seeds' for seeds in SEEDS)} |\n|:--|--:|--:|--:|")
    for noise in NOISES:
        _line(noise, None, [rates(noise, seeds=seeds) for seeds in SEEDS])
    _line("0.5, correlation 0.9 between cells", None, [rates(next(iter(NOISES)), seeds=n, shared=0.9) for n in SEEDS])


def _line(name: str, alarms: Rates | None, found: list[Rates]) -> None:
    cells = [f"{100 * one.regressed:.1f} / {100 * one.noticed:.1f}" for one in ([alarms] if alarms else []) + found]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
