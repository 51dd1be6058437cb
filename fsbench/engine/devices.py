"""The device of a run, and what is set for its process: determinism and memory allocation."""

from __future__ import annotations

import ctypes
import logging
import os
import platform

import torch

from fsbench.errors import DeviceError, UsageError

__all__ = ["cost_of_determinism", "pick_device", "tune_process"]

_LOG = logging.getLogger("fsbench")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>

_OF_MPS = (
    "Device mps has not been tried with fsbench: compare its table with one of --device cpu. It "
    "computes in fp32; heads that are solved in float64, which it lacks, end with an error; what it lacks besides goes "
    "to the CPU with PYTORCH_ENABLE_MPS_FALLBACK=1, and is an error without."
)


def pick_device(choice: str) -> torch.device:
    """The device for a choice of "auto", "cpu", "cuda" or "mps", Apple's GPUs.

    "auto" is never "mps", on which nothing of fsbench has been run yet; that is said where it is asked for.

    Raises:
        DeviceError: What is asked for is not there.
    """
    if choice == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if choice == "cpu":
        return torch.device("cpu")
    if choice == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("no Apple GPU (mps) is available here; use --device cpu, or auto.")
        _LOG.warning("%s", _OF_MPS)
        return torch.device("mps")
    if choice != "cuda":
        raise UsageError(
            f"unknown device {choice!r}; give auto, cpu, cuda or mps. Which GPU it is says CUDA_VISIBLE_DEVICES."
        )
    if not torch.cuda.is_available():
        raise DeviceError("no CUDA device is available here; use --device cpu, or auto.")
    return torch.device("cuda")


def tune_process(*, deterministic: bool, one_shape: bool = True) -> None:
    """Set what holds for the whole process.

    Large activations of one shape come from glibc's heap instead of fresh pages, which would be faulted in again in
    every step (half of the time on a CPU); those of many shapes would leave gaps there, of gigabytes, and come from
    fresh pages of 2 MiB, where the system has them: PyTorch asks for these if it is told to before its first tensor.
    What a process has once set so stays: runs of fixed and of variable shots are better apart. With `deterministic`,
    operations that are not reproducible bit by bit are errors, and a GPU neither searches for the fastest algorithm nor
    uses TF32. Else convolutions may use TF32; products of matrices never do, since distances between features are
    differences of large numbers.

    Args:
        deterministic: Only operations that are reproducible bit by bit.
        one_shape: Whether one step's data has the shapes of the next one's: a GPU's search for the fastest algorithm
            is made again for every shape, and takes many times as long as a step.
    """
    if one_shape and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        # Older versions take no more than half of the largest heap of a thread. Where the first is refused, glibc still
        # raises it by itself as blocks are freed, but no longer once the other one is set.
        if any(libc.mallopt(_M_MMAP_THRESHOLD, most) for most in (1 << 30, 1 << 25)):
            libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    if not one_shape:
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # nothing reads it
    torch.backends.cudnn.allow_tf32 = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = one_shape and not deterministic
    torch.use_deterministic_algorithms(deterministic)


def cost_of_determinism(device: torch.device) -> str:
    """What `deterministic` gives up there, in a sentence."""
    if device.type == "cpu":
        return "Deterministic: on a CPU this costs no time."
    return "Deterministic, and slower: no search for the fastest algorithms, no TF32, and no replayed training steps."
