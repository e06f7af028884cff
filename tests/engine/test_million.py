"""A million clients, of whom a thousand are sampled: a round costs what it does with few."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
ROUNDS = 8


def started(folder: Path, clients: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "million_clients", str(folder)]
    numbers = ["--clients", str(clients), "--rounds", str(ROUNDS)]
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [*command, *numbers],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


def lines_of(process: subprocess.Popen[str]) -> list[dict[str, float]]:
    text, _ = process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_million_clients_cost_what_ten_thousand_do(tmp_path: Path) -> None:
    *few, _ = lines_of(started(tmp_path / "few", 10_000))
    *many, whole = lines_of(started(tmp_path / "many", 1_000_000))
    seconds = [statistics.median(row["seconds"] for row in rows[1:]) for rows in (few, many)]
    memory = [row["mib"] for row in many[1:]]
    print(json.dumps({"seconds": seconds, "mib": [min(memory), max(memory)], "few": few[-1]}))
    # Other programs make a round longer and none shorter; memory may come and go, and not grow.
    quickest = [min(row["seconds"] for row in rows[1:]) for rows in (few, many)]
    assert quickest[1] < 1.25 * quickest[0]
    half = len(memory) // 2
    assert statistics.mean(memory[half:]) < 1.05 * statistics.mean(memory[:half])
    cut = started(tmp_path / "cut", 1_000_000)
    assert cut.stdout is not None
    for _ in range(3):
        cut.stdout.readline()
    cut.kill()
    cut.wait()
    *again, resumed = lines_of(started(tmp_path / "cut", 1_000_000))
    assert resumed == whole
    assert 0 < len(again) < ROUNDS
