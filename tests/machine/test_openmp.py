"""Threads that wait give their cores away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fplbench.machine.openmp import SPINS, wait_briefly

VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")

# Thousands of operations as small as those of a step on the embedded backbone.
WORK = """
import sys, time
from fplbench.machine.openmp import wait_briefly
if sys.argv[1] == "ours":
    wait_briefly()
import torch
torch.set_num_threads(int(sys.argv[2]))
x, w = torch.rand(400, 96), torch.rand(96, 384)
start = time.perf_counter()
for _ in range(1000):
    y = torch.nn.functional.gelu(x @ w) @ w.t()
print(time.perf_counter() - start)
"""


@pytest.mark.parametrize(
    ("chosen", "outcome"),
    [
        ({}, (SPINS, None)),
        ({"GOMP_SPINCOUNT": "7"}, ("7", None)),
        ({"OMP_WAIT_POLICY": "active"}, (None, "active")),
    ],
)
def test_what_the_user_chose_stays(
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, str],
    outcome: tuple[str | None, str | None],
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert tuple(os.environ.get(name) for name in VARIABLES) == outcome


def test_the_command_line_says_it_before_torch_is_there() -> None:
    """libgomp reads the variable once, when torch loads it."""
    code = "import sys, fplbench.cli.app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.fixture
def crowd() -> Iterator[None]:
    """Another program on every core."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    yield
    assert all(other.poll() is None for other in others)
    for other in others:
        other.kill()
        other.wait()


def seconds(how: str) -> float:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", WORK, how, str(os.cpu_count())]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.slow
def test_a_run_beside_others_is_slowed_by_its_share_only(crowd: None) -> None:
    default, ours = ([seconds(how) for _ in range(3)] for how in ("default", "ours"))
    print(f"beside other programs: {sorted(default)[1] / sorted(ours)[1]:.1f} times as fast")
    assert sorted(ours)[1] < sorted(default)[1]


@pytest.mark.slow
def test_a_run_alone_is_as_fast() -> None:
    pairs = [(seconds("default"), seconds("ours")) for _ in range(5)]
    default, ours = (min(times) for times in zip(*pairs, strict=True))
    print(f"alone: {ours / default:.2f} of the time")
    assert ours < 1.3 * default
