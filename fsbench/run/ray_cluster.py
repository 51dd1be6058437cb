"""Jobs of a run on a Ray cluster."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Final

from fsbench.errors import ExecutorError, FsbenchError, UsageError
from fsbench.run.jobs import Pool, do
from fsbench.run.order import Order

__all__ = ["ray_pool"]

_RETRIES: Final = 5  # of a job whose node is lost


@contextmanager
def ray_pool(order: Order, address: str | None) -> Iterator[Pool]:
    """A pool on a Ray cluster whose nodes see the same files; a job whose node is lost is done again on another.

    Args:
        order: The order.
        address: Of the cluster, as `ray.init` takes it; None for the cluster that this machine belongs to, or a new
            one on it.

    Raises:
        UsageError: Ray is not there.
        ExecutorError: There is no such cluster, or a job was lost too often.
        FsbenchError: What a job ended with.
    """
    ray = _import_ray()
    _check_address(address)
    environment = {name: value for name, value in os.environ.items() if name.startswith("FSBENCH_")}
    with redirect_stdout(sys.stderr):  # where Ray repeats what nodes say; standard output is for the table
        try:
            ray.init(address, runtime_env={"env_vars": environment}, logging_level=logging.WARNING)
            gpus = 0 if order.device == "cpu" else min(1, ray.cluster_resources().get("GPU", 0))
            given = ray.put(order), Path.cwd()
            remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(do)
            # Ray queues the jobs, and a cluster that can grow sees what there is to do
            yield Pool(math.inf, lambda job: remote.remote(*given, job).future())
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, FsbenchError) else error from None
        except ray.exceptions.RayError as error:
            raise ExecutorError(
                f"a job was lost {_RETRIES + 1} times with its node ({type(error).__name__}); what was finished is "
                "kept: look at `ray status`, then run the same command again (without --fresh)."
            ) from error
        finally:
            ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs Ray; run `python -m pip install 'fsbench[ray]'`.") from error
    return ray


def _check_address(address: str | None) -> None:
    """Refuse a HOST:PORT where nobody listens, which Ray would try for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdecimal() or "//" in host:  # auto, or a client's ray://HOST:PORT
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ExecutorError(f"there is no Ray cluster at {address} ({error}); start one with `ray start`.") from error
