"""Grids in real processes: started, watched, killed, and compared by all that is not a time."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SAME = ["--device", "cpu", "--threads", "1", "--checkpoint", "0"]


def start(out: Path, cache: Path, grid: str, *more: str) -> subprocess.Popen[str]:
    """`fplbench run` of a grid, as a process and leader of a group of its own.

    FPLBENCH_CACHE is `cache`; one thread a cell, a checkpoint after every round unless `more`
    says otherwise.
    """
    file = cache / f"{hashlib.sha256(grid.encode()).hexdigest()[:8]}.yaml"
    file.write_text(grid)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FPLBENCH_")}
    base = ["run", str(file), *SAME, "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-m", "fplbench", *base, *more],
        env=kept | {"FPLBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(
    out: Path, cache: Path, grid: str, *more: str, code: int = 0, patience: float = 400
) -> tuple[str, str]:
    """`start`, waited for: what it printed."""
    process = start(out, cache, grid, *more)
    said = process.communicate(timeout=patience)
    assert process.returncode == code, said
    return said


def outcome(out: Path) -> dict[str, object]:
    """All of every cell that is not a time: numbers, history, tensors."""
    found: dict[str, object] = {}
    for path in sorted(out.glob("*/record.json")):
        record = json.loads(path.read_text())
        tensors = path.with_name("prompts.safetensors")
        rows = [line.split(",") for line in path.with_name("history.csv").read_text().split()]
        keep = [i for i, name in enumerate(rows[0]) if name != "seconds"]
        names = ("status", "metrics", "traffic", "hardware", "label_counts", "never_sampled")
        found[path.parent.name] = (
            {name: record[name] for name in names},
            [[row[i] for i in keep] for row in rows],
            tensors.read_bytes() if tensors.exists() else b"",
        )
    return found


def finished(out: Path) -> int:
    """How many cells have a record."""
    return len(list(out.glob("*/record.json")))


def wait_for(out: Path, process: subprocess.Popen[str], cells: int, patience: float = 300) -> None:
    """Until so many cells have a record, or the process has ended."""
    deadline = time.monotonic() + patience
    while finished(out) < cells and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for_a_listener(process: subprocess.Popen[str], patience: float = 300) -> None:
    """Until a run handles SIGTERM, or has ended: before that it is still importing."""
    deadline = time.monotonic() + patience
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The runners of a run; not the tracker that Python starts beside them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text()
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        parent = int(stat[stat.rindex(")") + 2 :].split()[1])
        if parent == pid and "spawn_main" in command:
            found.append(int(path.name))
    return found


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"
