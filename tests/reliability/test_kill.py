from __future__ import annotations

import math
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reliability.folders import contents, finished, steps_trained, temporaries
from reliability.forks import Ended
from reliability.place import Place
from reliability.troubles import Event, Trouble

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SEEDS, KILLS = 6, 9  # together 54
ONCE = re.compile(r"step (\d+)/\1,|: \d+\.\d\d ± ")  # in lines of a finished training or cell
AGAIN = "\nInterrupted; run the same command again: it goes on from whatever was finished.\n"

Run = Callable[..., Ended]


class Chain:
    """Runs in one out folder, one after the other, and what they must not do again."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._finished: dict[Path, int] = {}
        self._steps: dict[Path, int | None] = {}
        self._said: Counter[str] = Counter()

    def look(self, stderr: str) -> None:
        """After a run: everything that was finished before is as it was, and no training went back."""
        now, steps = finished(self.out), steps_trained(self.out)
        assert {path: now.get(path) for path in self._finished} == self._finished
        for path, before in self._steps.items():
            assert steps[path] is None or (before is not None and steps[path] >= before)
        self._finished, self._steps = now, steps
        self._said.update(line.split(", loss")[0] for line in stderr.splitlines() if ONCE.search(line))
        assert all(times == 1 for times in self._said.values())


def drawn(draw: random.Random, number: int, smooth: Ended, left: float, *, inside: bool) -> dict[str, Any]:
    """A signal inside one of the writes of an uninterrupted run, or within the first part of its events or its time.

    Args:
        draw: Decides.
        number: Of the signal.
        smooth: The uninterrupted run.
        left: How much of it is still to be done.
        inside: Whether it shall be inside a write.
    """
    if not inside and draw.random() < 0.5:
        return {"stop": (number, draw.uniform(0, left * smooth.seconds))}
    events = [index for index, event in enumerate(smooth.events) if not inside or is_inside_a_write(event)]
    return {"trouble": Trouble("signal", number, draw.choice(events[: math.ceil(left * len(events))]))}


def is_inside_a_write(event: Event) -> bool:
    """Whether before it a file is there that is to replace another, and has not done so."""
    return event.path.endswith(".tmp") and event.kind in ("write", "fsync", "rename")


def assert_interrupted(ended: Ended, number: int) -> None:
    """It says how to go on, and has the status that shells give to a signal's victim."""
    if ended.events and not ended.stdout:  # after the first moments, and before the last
        assert ended.code == 128 + number, ended.stderr
        assert ended.stderr.endswith(AGAIN)
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_killed_again_and_again_ends_as_if_it_never_was(
    seed: int, run: Run, uninterrupted: tuple[Path, Ended], tmp_path: Path, tally: Counter[str]
) -> None:
    draw, kills, inside = random.Random(seed), 0, 0
    reference, smooth = uninterrupted
    while kills < KILLS:
        chain = Chain(tmp_path / f"after {kills} kills")
        while True:
            number = draw.choice(SIGNALS)
            left = max(1 - len(finished(chain.out)) / len(finished(reference)), 0.1)
            how = drawn(draw, number, smooth, left, inside=kills == 0) if kills < KILLS else {}
            left_over = temporaries(chain.out)
            ended = run(chain.out, **how)
            chain.look(ended.stderr)
            if ended.code == 0:
                break
            kills += 1
            inside += "trouble" in how and is_inside_a_write(ended.events[how["trouble"].event])
            tally[f"killed by {number.name}"] += 1
            if number == signal.SIGKILL:
                assert ended.code == -number
            else:
                assert_interrupted(ended, number)
                assert temporaries(chain.out) <= left_over
        assert contents(chain.out) == contents(reference)
    assert inside
    tally["killed inside a write"] += inside


def test_processes_of_their_own_are_killed_by_each_signal(
    place: Place, run: Run, uninterrupted: tuple[Path, Ended], tmp_path: Path, tally: Counter[str]
) -> None:
    chain = Chain(tmp_path / "out")
    command = [sys.executable, "-m", "fsbench", *place.words(chain.out)]
    for number in SIGNALS:
        with subprocess.Popen(command, env=place.environment, stderr=subprocess.PIPE, text=True) as process:
            before = len(finished(chain.out))
            while process.poll() is None and len(finished(chain.out)) <= before:
                time.sleep(0.01)
            process.send_signal(number)
            _, stderr = process.communicate()
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), stderr
        assert stderr.endswith(AGAIN) or number == signal.SIGKILL
        chain.look(stderr)
        tally[f"killed by {number.name}"] += 1
    chain.look(run(chain.out).stderr)
    assert contents(chain.out) == contents(uninterrupted[0])
