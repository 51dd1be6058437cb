"""How long `fsbench table` and `fsbench compare` take on thousands of records, as whole commands.

`python benchmarks/many_records.py` makes two folders of 10,000 records first, which takes some minutes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from fsbench.record_files import RecordStore
from helpers.factories import make_record

ROUNDS = 5
ROWS, SOURCES, SHOTS, SEEDS = 50, 10, (1, 5), 10


def write_records(out: Path, episodes: int, seed: int) -> None:
    """The records of a run of 50 rows on 10 sources, at 2 shots, with 10 training seeds."""
    store, random = RecordStore(out / "records"), np.random.default_rng(seed)
    for row in range(ROWS):
        for source in range(SOURCES):
            for shot in SHOTS:
                for train_seed in range(SEEDS):
                    correct = random.binomial(75, 0.5 + 0.005 * row + 0.02 * shot, episodes).tolist()
                    store.write(
                        make_record(
                            f"Method-{row:02}", correct, source=f"source-{source}", shot=shot, train_seed=train_seed
                        )
                    )


def measure(*words: object) -> tuple[float, float]:
    """Median seconds of a command, by the clock and of the processor."""
    wall, processor = [], []
    for _ in range(ROUNDS):
        before, started = _processor(), time.perf_counter()
        command = [sys.executable, "-m", "fsbench", *map(str, words)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # compare ends with its verdict
        wall.append(time.perf_counter() - started)
        processor.append(_processor() - before)
    return statistics.median(wall), statistics.median(processor)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=600)
    episodes: int = parser.parse_args().episodes
    with tempfile.TemporaryDirectory() as folder:
        base, new = Path(folder) / "base", Path(folder) / "new"
        write_records(base, episodes, seed=0)
        write_records(new, episodes, seed=1)
        for words in (("table", base), ("compare", base, new)):
            wall, processor = measure(*words)
            print(f"fsbench {words[0]}: {wall:.2f} s, of the processor {processor:.2f} s")


if __name__ == "__main__":
    main()
