"""Property tests that run for seconds by default, and for minutes where they are marked slow."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

from hypothesis import HealthCheck, seed, settings

MINUTES = float(os.environ.get("FUZZ_MINUTES", "10"))
"""How long each slow one runs."""

QUICK = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=500)


def for_minutes(test: Callable[[], None]) -> int:
    """Call a test made with `given` from one seed after another until the time is up; returns how
    many. What hypothesis finds is raised with the example that shows it."""
    end = time.monotonic() + 60 * MINUTES
    first = random.SystemRandom().randrange(1 << 30)
    count = 0
    while time.monotonic() < end:
        seed(first + count)(LONG(test))()
        count += 1
    return count
