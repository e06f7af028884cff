"""What a cell runs on: versions, processor, GPU and memory, for its record."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path

import torch
from pydantic import JsonValue

import fplbench


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
