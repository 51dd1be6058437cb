"""Runs of the real command line, each a fork of one process that has imported everything: PyTorch takes seconds.

The process that forks is no part of pytest: started as a script, this module is that process. It starts no
threads and computes nothing, so that its children are as good as fresh processes.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # where no path leads to the tests
    sys.path.append(str(Path(__file__).parent.parent))

from reliability.troubles import NOTHING, Event, Trouble, befall

__all__ = ["Ended", "Forks"]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: Its exit status; negative: the number of the signal that killed it.
        seconds: From the fork to the end.
        stdout: What it printed.
        stderr: What it said.
        events: What it did, or was about to do, with files in its out folder.
    """

    code: int
    seconds: float
    stdout: str
    stderr: str
    events: list[Event]

    @property
    def refusal(self) -> str:
        """The one sentence with which it was refused."""
        assert self.code == 2, self.stderr
        assert "Traceback" not in self.stderr
        sentence = self.stderr.rpartition("Error: ")[2].strip()
        assert len(sentence.splitlines()) == 1
        return sentence


class Forks:
    """The process that forks.

    Args:
        folder: For what runs print.
        environment: Of all runs.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def run(
        self,
        words: Sequence[object],
        out: Path,
        trouble: Trouble = NOTHING,
        *,
        stop: tuple[int, float] | None = None,
        learn: bool = False,
    ) -> Ended:
        """Run the command line to its end.

        Args:
            words: Its arguments.
            out: The folder whose events are of interest.
            trouble: What befalls it.
            stop: A signal, and after how many seconds it comes.
            learn: Import what it imports, so that later runs need not.
        """
        request = {
            "words": [str(word) for word in words],
            "out": str(out),
            "folder": str(self._folder),
            "trouble": dataclasses.asdict(trouble),
            "stop": stop,
            "learn": learn,
        }
        assert self._process.stdin and self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        ended = json.loads(self._process.stdout.readline())
        stdout, stderr, events = ((self._folder / name).read_text() for name in ("stdout", "stderr", "events"))
        told = [Event(*line.split(" ", 1)) for line in events.splitlines()]
        return Ended(ended["code"], ended["seconds"], stdout, stderr, told)


def _serve() -> None:
    from fsbench.cli.main import main
    from fsbench.run.run import run_suite

    assert main and run_suite
    for line in sys.stdin:
        request = json.loads(line)
        folder, started = Path(request["folder"]), time.monotonic()
        for name in ("stdout", "stderr", "events"):  # of the run before, if this one is killed before it opens them
            (folder / name).write_bytes(b"")
        child = os.fork()
        if child == 0:
            try:
                _be_a_run(request, folder)
            finally:
                os._exit(1)
        if request["stop"] is not None:
            number, seconds = request["stop"]
            time.sleep(seconds)
            os.kill(child, number)
        _, status = os.waitpid(child, 0)
        ended = {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started}
        if request["learn"]:
            _import_all((folder / "modules").read_text().split())
        print(json.dumps(ended), flush=True)


def _be_a_run(request: dict[str, Any], folder: Path) -> None:
    from fsbench.cli.main import main

    code: Any = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, name in enumerate((os.devnull, folder / "stdout", folder / "stderr", folder / "events")):
            os.dup2(os.open(name, os.O_RDWR if number == 0 else os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        befall(Trouble(**request["trouble"]), Path(request["out"]), _tell)
        main(request["words"], prog_name="fsbench")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if request["learn"]:
        (folder / "modules").write_text("\n".join(sys.modules))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell(event: Event) -> None:
    os.write(3, f"{event.kind} {event.path}\n".encode())


def _import_all(names: list[str]) -> None:
    for name in names:
        with suppress(ImportError):  # some modules make others that nobody can import
            importlib.import_module(name)
    gc.freeze()  # collections in the children would copy every page
    assert threading.active_count() == 1, "a process with threads must not fork"


if __name__ == "__main__":
    _serve()
    os._exit(0)  # libraries complain about each other on a regular way out
