"""Grids in real processes, killed and stopped on the way: the outcome is that of a quiet run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from grids import SAME, alive, children, finished, outcome, run, start, wait_for

from fplbench.cli.app import main
from fplbench.grid.stop import EXIT

GRID = """
methods: [zeroshot, promptfl, fedpgp]
datasets: digits
seeds: [0, 1]
settings: {clients: 3, shots: 4, rounds: 4, lr: [0.01, 0.02], n_ctx: 2, evaluations: 2}
"""
CELLS = 12
Capture = pytest.CaptureFixture[str]


@dataclass
class Here:
    """The command line in this process, which has torch already."""

    cache: Path
    capsys: Capture
    patch: pytest.MonkeyPatch

    def __call__(self, out: Path, *more: str, code: int = 0, grid: str = GRID) -> tuple[str, str]:
        file = self.cache / f"{hashlib.sha256(grid.encode()).hexdigest()[:8]}.yaml"
        file.write_text(grid)
        self.patch.setenv("FPLBENCH_CACHE", str(self.cache))
        arguments = ["fplbench", "run", str(file), *SAME, "--out", str(out), *more]
        self.patch.setattr(sys, "argv", arguments)
        threads = torch.get_num_threads()
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            torch.set_num_threads(threads)
        said = self.capsys.readouterr()
        assert ended.value.code == code, said
        return said.out, said.err


@pytest.fixture
def here(cache: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(cache, capsys, monkeypatch)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The grid in one process that nothing disturbs."""
    out = tmp_path_factory.mktemp("quiet")
    run(out, cache, GRID)
    assert finished(out) == CELLS
    return out


def test_two_processes_killed_and_stopped_give_the_same_bits(
    tmp_path: Path, cache: Path, quiet: Path
) -> None:
    """A worker is killed, then the whole family, then SIGTERM comes; the last run ends it."""
    process = start(tmp_path, cache, GRID, "--jobs", "2")
    wait_for(tmp_path, process, 1)
    workers = children(process.pid)
    os.kill(random.choice(workers), signal.SIGKILL)
    wait_for(tmp_path, process, 4)
    os.kill(process.pid, signal.SIGKILL)  # its workers leave by themselves
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    process = start(tmp_path, cache, GRID, "--jobs", "2")
    wait_for(tmp_path, process, finished(tmp_path) + 1)
    if process.poll() is None:
        process.terminate()
    said = process.communicate(timeout=120)
    assert process.returncode in (EXIT, 0), said

    run(tmp_path, cache, GRID, "--jobs", "2")
    assert outcome(tmp_path) == outcome(quiet)
    assert not list((tmp_path / ".claims").glob("*/first"))


@pytest.mark.slow
def test_two_runs_share_a_store(tmp_path: Path, cache: Path, quiet: Path) -> None:
    """Started twice by mistake or on purpose: each cell is computed once."""
    processes = [start(tmp_path, cache, GRID) for _ in range(2)]
    said = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert outcome(tmp_path) == outcome(quiet)
    logs = [path.read_text() for path in tmp_path.glob("*/log.txt")]
    assert len(logs) == CELLS
    assert all(log.count("round 1/4") == 1 for log in logs)


@pytest.mark.slow
def test_killed_at_fifty_random_moments(tmp_path: Path, cache: Path, quiet: Path) -> None:
    """kill -9 of all processes at once, at any moment of a run; then what is left is done."""
    draw = random.Random(0)
    for turn in range(50):
        out = tmp_path / f"store{turn // 5}"  # every fifth time a new store
        jobs = ["--jobs", "2"] if turn % 2 else []
        process = start(out, cache, GRID, *jobs)
        wait_for(out, process, min(CELLS, finished(out) + draw.randrange(3)))
        time.sleep(draw.uniform(0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        whole = outcome(quiet)
        assert all(whole[name] == cell for name, cell in outcome(out).items())
        if turn % 5 == 4:
            run(out, cache, GRID)
            assert outcome(out) == whole
            shutil.rmtree(out)


@pytest.mark.slow
def test_ray_gives_the_same_bits(tmp_path: Path, cache: Path, quiet: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    process = start(tmp_path, cache, GRID, "--executor", "ray", "--jobs", "2")
    wait_for(tmp_path, process, 3)
    os.killpg(process.pid, signal.SIGKILL)  # the driver; Ray's own processes see it and go
    process.communicate(timeout=60)
    process = start(tmp_path, cache, GRID, "--executor", "ray", "--jobs", "2")
    wait_for(tmp_path, process, finished(tmp_path) + 2)
    process.terminate()  # while it waits for Ray
    said = process.communicate(timeout=60)
    assert process.returncode == EXIT, said
    assert "the same command goes on" in said[1]
    run(tmp_path, cache, GRID, "--executor", "ray", "--jobs", "2")
    assert outcome(tmp_path) == outcome(quiet)


BROKEN = """
from fplbench.methods.promptfl import PromptFL


class Broken(PromptFL):
    name = "broken"
    title = "Broken"

    def upload(self, params, r):
        if r.index == 2:
            {action}
        return super().upload(params, r)
"""
ONE = """
methods: [broken, zeroshot]
datasets: digits
settings: {clients: 3, shots: 4, rounds: 3, n_ctx: 2}
"""


def plugin(folder: Path, action: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "broken.py").write_text(BROKEN.format(action=action))
    return ["--plugins", str(folder)]


def test_a_failing_cell_stops_no_other_and_is_tried_again_when_asked(
    tmp_path: Path, here: Here
) -> None:
    more = plugin(tmp_path / "plugins", "raise ValueError('no such thing')")
    out = tmp_path / "out"
    said, err = here(out, *more, code=1, grid=ONE)
    assert "1 cell done" in said
    assert "failed: broken on digits, seed 0: no such thing" in err
    assert "--retry-failed" in err
    (path,) = out.glob("broken*/record.json")
    first = json.loads(path.read_text())
    assert "in upload" in first["error"]["traceback"]
    stamp = path.stat().st_mtime_ns

    _, err = here(out, *more, code=1, grid=ONE)
    assert "no such thing" in err
    assert path.stat().st_mtime_ns == stamp, "it was not asked for"
    here(out, *more, "--retry-failed", code=1, grid=ONE)
    assert path.stat().st_mtime_ns != stamp
    assert path.with_name("log.txt").read_text().count("round 1/3") == 1, "tried once, not twice"


@pytest.mark.slow
def test_a_cell_that_kills_its_process_is_recorded_as_failed(tmp_path: Path, cache: Path) -> None:
    more = plugin(tmp_path / "plugins", "import os; os.kill(os.getpid(), 9)")
    out = tmp_path / "out"
    _, err = run(out, cache, ONE, *more, "--jobs", "2", code=1)
    assert "SIGKILL" in err
    assert "fewer --jobs" in err
    statuses = {
        p.parent.name.split("_")[0]: json.loads(p.read_text())["status"]
        for p in out.glob("*/record.json")
    }
    assert statuses == {"broken": "failed", "zeroshot": "done"}


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory, mounted with these options."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 kB."""
    with disk(tmp_path / "disk", "size=160k") as folder:
        yield folder


def test_a_full_disk_loses_nothing_finished(small_disk: Path, here: Here, quiet: Path) -> None:
    out = small_disk / "out"
    _, err = here(out, code=2)
    assert "make room or choose another --out" in err
    assert len(err.strip().splitlines()) == 1
    whole, found = outcome(quiet), outcome(out)
    assert found
    assert all(whole[name] == cell for name, cell in found.items())
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    here(out)
    assert outcome(out) == whole


def test_a_read_only_folder_is_one_sentence(tmp_path: Path, here: Here) -> None:
    with disk(tmp_path / "disk", "ro") as folder:
        _, err = here(folder / "out", code=2)
    assert "Read-only file system" in err
    assert len(err.strip().splitlines()) == 1
