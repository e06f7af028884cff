"""How this process computes: devices, threads, precision, memory."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fplbench import BEGAN
from fplbench.errors import UserError


def set_up(threads: int | None) -> None:
    """Make this process ready to compute cells."""
    use_threads(threads)
    full_precision()
    keep_freed_memory()


def full_precision() -> None:
    """float32 means float32, and the same bits again: no TF32, no algorithm chosen by timing."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def keep_freed_memory() -> bool:
    """Let the host's allocator reuse large blocks; whether it could be told (glibc alone).

    By default glibc gives each tensor of more than 32 MiB fresh pages of the system's and gives
    them back at once, and the next step waits for the same pages to be cleared again.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    return bool(mallopt(mmap_threshold, 2**30)) and bool(mallopt(trim_threshold, 2**31 - 1))


_reached = False


def start_seconds() -> float | None:
    """What this process has spent before its first cell: Python's own start is not in it, torch's
    and the plug-ins' imports are. None once that was told."""
    global _reached
    if _reached:
        return None
    _reached = True
    return time.perf_counter() - BEGAN


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """float32 products on a GPU round their factors to TF32 while this lasts, if so asked."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def use_threads(count: int | None) -> None:
    """The number of torch's threads in this process; None leaves it."""
    if count is not None:
        torch.set_num_threads(count)


def threads() -> int:
    """The number of torch's threads in this process: OMP_NUM_THREADS, or the cores."""
    return torch.get_num_threads()


def choose_devices(names: str) -> list[str]:
    """The devices of names with commas between; `all` is every GPU. UserError as choose_device."""
    if names == "all":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [f"cuda:{index}" for index in range(count)] or ["cpu"]
    return [str(choose_device(name.strip())) for name in names.split(",")]


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU where there is one; UserError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"{name!r} is no device: use --device auto, cpu, cuda:0 or all.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UserError(
                f"The device {name} is not there: torch finds {count} CUDA devices; "
                "use --device cpu or auto."
            )
    elif device.type != "cpu":
        raise UserError(f"fplbench runs on cpu and cuda, not on {name!r}: use --device auto.")
    return device
