"""Property tests that run for seconds by default, and for minutes where they are marked slow."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

MINUTES = float(os.environ.get("FUZZ_MINUTES", "10"))
"""How long each slow one runs."""

QUICK = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=500)


def for_seconds(
    strategy: SearchStrategy[T], check: Callable[[T], None], examples: int = 150
) -> None:
    """Call a check with some examples."""
    settings(QUICK, max_examples=examples)(given(strategy)(lambda example: check(example)))()


def for_minutes(strategy: SearchStrategy[T], check: Callable[[T], None]) -> int:
    """Call a check with examples from one seed after another until the time is up; returns how
    many seeds. What hypothesis finds is raised with the example that shows it."""
    end = time.monotonic() + 60 * MINUTES
    first = random.SystemRandom().randrange(1 << 30)
    count = 0
    while time.monotonic() < end:
        seed(first + count)(LONG(given(strategy)(lambda example: check(example))))()
        count += 1
    return count
