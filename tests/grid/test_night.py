"""A whole comparison that is killed again and again: six methods, three data sets, five seeds."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from grids import children, finished, outcome, run, start, wait_for

from fplbench.grid.stop import EXIT

GRID = """
methods: [zeroshot, coop, promptfl, fedotp, pfedprompt, fedpgp]
datasets: [shapes, shapes_domains, digits]
seeds: [0, 1, 2, 3, 4]
settings: {rounds: 15, evaluations: 3}
"""
CELLS = 6 * 3 * 5
KILLS = 6
PATIENCE = 3600  # seconds; a run takes ten minutes on two quiet cores
TWO = ("--jobs", "2")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The comparison that nothing disturbs."""
    out = tmp_path_factory.mktemp("night") / "quiet"
    run(out, cache, GRID, *TWO, patience=PATIENCE)
    assert finished(out) == CELLS
    return out


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_comparison_killed_on_the_way_ends_with_the_same_bits(
    tmp_path: Path, cache: Path, quiet: Path, executor: str
) -> None:
    if executor == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    out, draw, whole = tmp_path / executor, random.Random(executor), outcome(quiet)
    for kill in range(KILLS):
        before = finished(out)
        process = start(out, cache, GRID, *TWO, "--executor", executor)
        wait_for(out, process, min(CELLS - 1, before + draw.randint(5, 11)), PATIENCE)
        time.sleep(draw.uniform(0, 5))
        if kill % 3 == 0 and executor == "local":
            os.kill(draw.choice(children(process.pid)), signal.SIGKILL)
            wait_for(out, process, min(CELLS - 1, finished(out) + 2), PATIENCE)
        if kill % 3 == 1:
            process.terminate()
            said = process.communicate(timeout=120)
            assert process.returncode == EXIT, said
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=120)
        found = outcome(out)
        print(f"{executor}, kill {kill + 1}: {len(found)} cells are done")
        assert before < len(found) < CELLS
        assert all(whole[name] == cell for name, cell in found.items())
    run(out, cache, GRID, *TWO, "--executor", executor, patience=PATIENCE)
    assert outcome(out) == whole
