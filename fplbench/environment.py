"""What a cell ran on: versions and hardware, for its record."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import JsonValue

import fplbench
from fplbench.errors import UserError


def versions() -> dict[str, str]:
    """Versions of what the numbers hang on."""
    packages = {"open_clip": "open_clip_torch", "numpy": "numpy", "torchvision": "torchvision"}
    return {
        "fplbench": fplbench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: importlib.metadata.version(package) for name, package in packages.items()},
    }


def hardware(device: torch.device) -> dict[str, JsonValue]:
    """The processor, its threads, and the accelerator where one is used. Memory in bytes."""
    found: dict[str, JsonValue] = {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        found |= {"gpu": gpu.name, "gpu_memory": gpu.total_memory}
    return found


def _processor() -> str:
    """The processor's name as Linux tells it; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def reset_peak(device: torch.device) -> None:
    """Start counting the peak of memory anew.

    On a GPU the count is then a cell's own. On a host it starts at what the process holds, and
    that includes what the allocator kept of the cells before (`keep_freed_memory`): there the
    peak depends on the order of cells, and no table prints it.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # not Linux: then peak_bytes knows nothing either
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int | None:
    """The most memory since `reset_peak`: of the tensors on a GPU, else of the whole process.

    None where the system does not tell. (getrusage does on more systems, but its number only
    ever rises: a small cell after a large one would have the large one's.)
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


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
