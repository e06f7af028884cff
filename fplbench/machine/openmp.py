"""How OpenMP's threads wait for one another. To be said before torch is imported."""

from __future__ import annotations

import os

# Long enough for the time between two operations, so that threads with cores of their own are
# as fast as with libgomp's default (300,000 by its manual).
SPINS = "10000"


def wait_briefly() -> None:
    """Let a waiting thread give its core away soon, unless the user has chosen.

    By default it spins for milliseconds. Where another program needs the cores too, the thread
    that is waited for then cannot run, at each of a step's thousands of operations, and a run
    takes many times as long (docs/performance.md). Never spinning (OMP_WAIT_POLICY=passive) is
    no way out: on a quiet machine waking up costs more than the operations.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
