from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from fsbench.errors import ExecutorError
from fsbench.run import processes
from fsbench.run.options import Options
from fsbench.run.order import Order
from fsbench.suite_files import load_suite
from helpers.tiny import contents, write_source, write_suite

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SUITE = (
    ('method = "proto"\n', 'method = "pausing.py:PausingProtoNet"\n'),
    ('method = "fomaml"\n', 'method = "fomaml"\nstart = "knn"\n'),  # so that one training waits for another
)
PAUSING = '''
import os
import time

from fsbench.methods.proto import ProtoNet


class PausingProtoNet(ProtoNet):
    """Waits once, in its third step, if there is a file to say so in: by then there is a checkpoint."""

    steps = 0

    def loss(self, tasks):
        type(self).steps += 1
        if self.steps == 3 and (mark := os.environ.get("FSBENCH_TEST_MARK")) and not os.path.exists(mark):
            with open(f"{mark}.new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(f"{mark}.new", mark)
            time.sleep(600)
        return super().loss(tasks)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds a cache, a suite, and in `serial` what it gives in one process; no run outlives the tests."""
    folder = tmp_path_factory.mktemp("executors")
    write_source(folder / "cache")
    write_suite(folder / "suite.toml", *SUITE, rows=("knn", "proto", "fomaml"))
    (folder / "pausing.py").write_text(PAUSING)
    run = Run(folder, "serial")
    assert run.wait() == 0, run.stderr
    yield folder
    for process in Run.started:
        process.kill()


class Run:
    """A run by the command line."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, folder: Path, out: str, *words: object, pause: bool = False, **settings: str) -> None:
        self.mark = folder / f"{out}.mark"
        settings |= {"FSBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        settings |= {"FSBENCH_TEST_MARK": str(self.mark)} if pause else {}
        options = ["--suite", "suite.toml", "--out", out, "--device", "cpu", *map(str, words)]
        self._said = folder / f"{out}.stdout", folder / f"{out}.stderr"
        with self._said[0].open("w") as stdout, self._said[1].open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fsbench", "run", *options],
                cwd=folder,
                env=os.environ | settings,
                stdout=stdout,
                stderr=stderr,
            )
        self.started.append(self.process)

    @property
    def stdout(self) -> str:
        return self._said[0].read_text()

    @property
    def stderr(self) -> str:
        return self._said[1].read_text()

    def wait(self) -> int:
        return self.process.wait(timeout=240)

    def paused(self) -> int:
        """Wait until a training waits; returns its process."""
        until(lambda: self.mark.exists() or self.process.poll() is not None)
        return int(self.mark.read_text())


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def trained(stderr: str) -> list[str]:
    """The trainings that came to their end, as a run tells."""
    return sorted(match[0] for match in re.findall(r"training (\S+(?: \dshot)?): step (\d+)/\2,", stderr))


def test_processes_give_the_same_bytes(folder: Path) -> None:
    run = Run(folder, "processes", "--executor", "processes", "--workers", 2)
    assert run.wait() == 0, run.stderr
    assert contents(folder / "processes") == contents(folder / "serial")
    assert run.stdout == (folder / "serial.stdout").read_text()
    assert trained(run.stderr) == trained((folder / "serial.stderr").read_text())


def test_a_killed_process_is_one_sentence_and_leaves_a_resumable_run(folder: Path) -> None:
    run = Run(folder, "broken", "--executor", "processes", "--workers", 1, pause=True)
    os.kill(run.paused(), signal.SIGKILL)
    assert run.wait() == 2
    assert run.stderr.rpartition("Error: ")[2].startswith("a process was killed, perhaps because memory ran out;")
    assert Run(folder, "broken").wait() == 0
    assert contents(folder / "broken") == contents(folder / "serial")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_processes_end_with_the_run_that_started_them(folder: Path, name: str) -> None:
    run = Run(folder, name, "--executor", "processes", "--workers", 1, "--methods", "proto", pause=True)
    process = run.paused()
    run.process.send_signal(signal.Signals[name])
    assert run.wait() != 0
    until(lambda: not is_running(process))


def test_a_run_that_was_told_to_ignore_sigint_goes_on_after_one(folder: Path) -> None:
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as by nohup, or in a script's background
    try:
        run = Run(folder, "deaf", "--methods", "proto", pause=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    run.paused()
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM  # of two signals that wait, SIGINT would be the first


def test_a_process_that_does_not_end_when_it_is_asked_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE", 0.2)
    started = [processes._Spawning().Process(target=time.sleep, args=(600,)) for _ in range(2)]
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which they inherit
    try:
        started[0].start()
    finally:
        signal.signal(signal.SIGTERM, former)
    started[1].start()
    processes._end(started)
    for process in started:
        process.join(30)
    assert [process.exitcode for process in started] == [-signal.SIGKILL, -signal.SIGTERM]


class Deadly:
    """A job that ends the process that is given it."""

    def __init__(self, call: Callable[[int], object], argument: int) -> None:
        self.call, self.argument = call, argument

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, (self.argument,)


@pytest.mark.parametrize("deadly", [Deadly(os._exit, 0), Deadly(ctypes.string_at, 0)], ids=["_exit", "SIGSEGV"])
def test_a_process_that_ends_itself_is_one_sentence(deadly: Any) -> None:
    order = Order(load_suite("glyphs"), Options(), Path("nowhere"), device="cpu")
    with pytest.raises(ExecutorError, match="a process was killed"), processes.processes_pool(order, 1, None) as pool:
        pool.submit(deadly).result()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that does no work, and two nodes that do one job at a time."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on any system: this machine is 127.0.0.1
        warnings.simplefilter("ignore")  # Ray's own
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "node_ip_address": "127.0.0.1", "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        yield cluster
        cluster.shutdown()


@pytest.mark.cluster
def test_a_ray_cluster_that_loses_a_node_gives_the_same_bytes(folder: Path, cluster: Cluster) -> None:
    run = Run(folder, "ray", "--executor", "ray", "--address", cluster.address, pause=True)
    lost = parent(run.paused())
    (node,) = (node for node in cluster.worker_nodes if node.all_processes["raylet"][0].process.pid == lost)
    cluster.remove_node(node, allow_graceful=False)
    assert run.wait() == 0, run.stderr
    assert contents(folder / "ray") == contents(folder / "serial")
    assert run.stdout == (folder / "serial.stdout").read_text()


@pytest.mark.cluster
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupted_run_on_a_ray_cluster_goes_on_later(folder: Path, cluster: Cluster) -> None:
    run = Run(folder, "stopped", "--executor", "ray", "--address", cluster.address, pause=True)
    process = run.paused()
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 128 + signal.SIGINT
    assert run.stderr.endswith("run the same command again: it goes on from whatever was finished.\n")
    until(lambda: not is_running(process))
    assert Run(folder, "stopped").wait() == 0
    assert contents(folder / "stopped") == contents(folder / "serial")


@pytest.mark.cluster
def test_a_cluster_that_ray_starts_for_a_run_asks_for_a_token(folder: Path, tmp_path: Path) -> None:
    with TemporaryDirectory(prefix="ray-") as short:  # as names of sockets must be
        run = Run(folder, "own", "--executor", "ray", HOME=str(tmp_path), RAY_TMPDIR=short)
        assert run.wait() == 0, run.stderr
    assert (tmp_path / ".ray" / "auth_token").is_file()
    assert contents(folder / "own") == contents(folder / "serial")


@pytest.mark.cluster
def test_an_error_of_a_job_is_that_of_the_run(folder: Path, cluster: Cluster) -> None:
    write_suite(folder / "diverging.toml", ("temperature = 1.0", "temperature = 1e-40"), rows=("proto",))
    options = ["--suite", "diverging.toml", "--executor", "ray", "--address", cluster.address]
    run = Run(folder, "diverging", *options)
    assert run.wait() == 2
    assert run.stderr.rpartition("Error: ")[2].startswith("the loss of ProtoNet is not finite")


def test_a_cluster_that_is_not_there_is_one_sentence(folder: Path) -> None:
    run = Run(folder, "nowhere", "--executor", "ray", "--address", "127.0.0.1:9")
    assert run.wait() == 2
    assert run.stderr.rpartition("Error: ")[2].startswith("there is no Ray cluster at 127.0.0.1:9 (")
