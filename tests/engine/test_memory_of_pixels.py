"""What is planned for methods that change the image tower is what a process takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
HOST, GPU = 24 * 2**30, 24e9


@pytest.mark.slow
def test_maple_of_a_vit_b_16_fits_on_a_common_machine() -> None:
    """Depth 9, ten clients of eight images together, OpenAI's activation: docs/performance.md."""
    ran = subprocess.run(
        [sys.executable, "-m", "memory_of_a_round", "maple", "--limit", str(HOST / 2**30)],
        env=os.environ | {"PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    together = 10 * found["client_step"]
    assert found["chunk_cuda"] == 10
    # The allocator of the host takes half as much again, in pieces that nothing fits into.
    assert 0.9 * together < found["taken"] < 1.6 * together
    assert found["taken"] + found["weights"] < GPU
    assert found["process"] < HOST
