"""Slurm: what is asked of it, jobs that are queued again, killed, refused; and a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from grids import SAME, finished, outcome, run, start, wait_for, wait_for_a_listener
from one_node_slurm import missing, one_node_slurm

from fplbench.errors import UserError
from fplbench.grid.claims import Claims
from fplbench.grid.journal import Journal
from fplbench.grid.log import last_round
from fplbench.grid.slurm_options import read


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("90:30", 91), ("4:00:00", 240), ("2-0", 2880), ("1-2:30", 1590), ("", 60)],
)
def test_times_are_written_as_for_sbatch(time: str, minutes: int) -> None:
    options = read([f"time={time}"] if time else [])
    assert options.parameters(1, None)["timeout_min"] == minutes


def test_any_option_of_sbatch_goes_through_as_it_is() -> None:
    options = read(["partition=gpu", "--gpus-per-node=a100:1", "exclusive", "setup=module load x"])
    found = options.parameters(4, 8)
    assert found["slurm_additional_parameters"] == {
        "partition": "gpu",
        "gpus_per_node": "a100:1",
        "exclusive": True,
        "cpus_per_task": 4,
        "job_name": "fplbench",
    }
    assert found["slurm_setup"] == ["module load x"]
    assert found["slurm_array_parallelism"] == 8
    assert found["slurm_srun_args"] == ["--cpus-per-task=4"]
    assert read(["cpus_per_task=3"]).threads() == 3


@pytest.mark.parametrize(
    ("text", "wants"),
    [("gres=gpu:1", True), ("gpus_per_node=0", False), ("gpus=v100:2", True), ("mem=8G", False)],
)
def test_a_cell_is_computed_on_a_gpu_that_is_asked_for(text: str, wants: bool) -> None:
    assert read([text]).wants_gpu() is wants


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("=1", "KEY=VALUE"),
        ("array=1-3", "use --jobs"),
        ("ntasks_per_node=2", "one cell at a time"),
        ("time=soon", "HOURS:MINUTES:SECONDS"),
        ("signal_delay_s=x", "whole seconds"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        read([text])


def test_the_log_of_a_running_cell_tells_its_round(tmp_path: Path) -> None:
    assert last_round(tmp_path, "cell") is None
    journal = Journal(tmp_path, "cell")
    journal.log.note("goes on after round 2")
    assert last_round(tmp_path, "cell") is None
    journal.round({"round": 3, "loss": 1.25, "local": 61.5, "seconds": 2e-5}, 40)
    journal.log.note("no checkpoint: No space left on device")
    assert last_round(tmp_path, "cell") == (3, 40, {"loss": 1.25, "local": 61.5, "seconds": 2e-5})


def test_a_job_that_is_begun_again_elsewhere_goes_on_at_once(tmp_path: Path) -> None:
    held = Claims(tmp_path, job="12_3").take("cell")
    assert held is not None
    path = next((tmp_path / ".claims" / "cell").glob("first"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "another"}))
    assert Claims(tmp_path, job="12_4").take("cell") is None
    assert Claims(tmp_path, job="12_3").take("cell") is not None


# It is queued again, or killed, in its second round: once, or whenever it comes there.
BROKEN = """
import os, signal
from pathlib import Path
from fplbench.methods.promptfl import PromptFL


class Broken(PromptFL):
    name = "broken"
    title = "Broken"

    def upload(self, params, r):
        mark = Path({mark!r})
        if r.index == 2 and ({always} or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.{signal})
        return super().upload(params, r)
"""
GRID = """
methods: [broken, zeroshot]
datasets: digits
settings: {clients: 3, shots: 4, rounds: 3, n_ctx: 2}
"""


# In a process of its own: the jobs are processes that outlive what a test captures.
DRIVER = """
import functools
from fplbench.cli.app import main
from fplbench.grid import on_slurm

on_slurm.on_slurm = functools.partial(on_slurm.on_slurm, cluster="local")
on_slurm.require_slurm = lambda: None
main()
"""


def on_processes(tmp_path: Path, code: int, signal: str, always: bool) -> tuple[str, Path]:
    """The grid by submitit's executor for this machine, whose jobs are processes; two cells a
    job."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    plugins, out, grid = tmp_path / "plugins", tmp_path / "out", tmp_path / "grid.yaml"
    plugins.mkdir()
    mark = str(tmp_path / "mark")
    text = BROKEN.format(mark=mark, signal=signal, always=always)
    (plugins / "broken.py").write_text(text)
    grid.write_text(GRID)
    slurm = ["--executor", "slurm", "--cells-per-task", "2", "--plugins", str(plugins)]
    words = ["run", str(grid), *SAME, "--out", str(out), *slurm]
    env = {**os.environ, "FPLBENCH_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-c", DRIVER, *words]
    said = subprocess.run(command, env=env, capture_output=True, text=True)
    assert said.returncode == code, said
    return said.stderr, out


def test_a_job_that_is_queued_again_goes_on_at_its_checkpoint(tmp_path: Path) -> None:
    _, out = on_processes(tmp_path, 0, "SIGUSR2", always=False)
    assert finished(out) == 2
    (log,) = out.glob("broken*/log.txt")
    assert "goes on after round 1" in log.read_text()
    assert log.read_text().count("round 1/3") == 1
    assert not list((out / ".claims").glob("*/first"))


@pytest.mark.slow
def test_a_cell_that_takes_two_jobs_down_is_recorded_and_its_pack_goes_on(tmp_path: Path) -> None:
    err, out = on_processes(tmp_path, 1, "SIGKILL", always=True)
    assert "ended early 2 times" in err
    statuses = {
        path.parent.name.split("_")[0]: json.loads(path.read_text())["status"]
        for path in out.glob("*/record.json")
    }
    assert statuses == {"broken": "failed", "zeroshot": "done"}


REAL = """
methods: [zeroshot, promptfl]
datasets: digits
seeds: [0, 1]
settings: {clients: 3, shots: 4, rounds: 30, n_ctx: 2, evaluations: 2}
"""
CELLS = 4


@pytest.mark.slow
def test_a_real_slurm_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jobs outlive the command, are queued again by Slurm, joined by the next command, and
    cancelled by SIGTERM; what is left is computed by processes of this machine."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    absent = missing()
    if absent:
        pytest.skip(f"Slurm is not installed (apt-get install slurm-wlm munge): no {absent[0]}")
    cache, out = tmp_path / "cache", tmp_path / "out"
    cache.mkdir()
    run(tmp_path / "quiet", cache, REAL, patience=1200)
    with one_node_slurm(tmp_path / "slurm") as env:
        for name in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(name, env[name])
        slurm = ["--executor", "slurm", "--cells-per-task", "2", "--slurm", "time=30"]

        def queue() -> list[str]:
            asked = subprocess.run(
                ["squeue", "--array", "--noheader", "--format=%i"],
                capture_output=True,
                text=True,
                check=True,
            )
            return sorted(asked.stdout.split())

        process = start(out, cache, REAL, *slurm)
        deadline = time.monotonic() + 600
        while not (logs := list((out / ".work").glob("promptfl*/log.txt"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        jobs = queue()
        assert len(jobs) == 2, "the jobs do not need the command"
        subprocess.run(["scancel", "--signal=USR2", *jobs], check=True)  # as before a time limit

        process = start(out, cache, REAL, *slurm)
        wait_for(out, process, 3, 900)
        wait_for_a_listener(process)  # the jobs need no command, and may be done before it begins
        process.terminate()
        said = process.communicate(timeout=120)
        assert process.returncode in (75, 0), said
        assert len(list((out / ".slurm").glob("*_submitted.pkl"))) == 2, "joined, not repeated"
        deadline = time.monotonic() + 120
        while queue():
            assert time.monotonic() < deadline
            time.sleep(0.5)
    run(out, cache, REAL, "--jobs", "2", patience=1200)
    assert finished(out) == CELLS
    assert outcome(out) == outcome(tmp_path / "quiet")
    logs = [path.read_text() for path in out.glob("promptfl*/log.txt")]
    assert any("goes on after round" in log for log in logs)
