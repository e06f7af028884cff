"""A workbench on the CPU, with caches of a test's own."""

from __future__ import annotations

from pathlib import Path

from fplbench.features.stock import Workbench
from fplbench.machine.place import Place


def workbench(cache: Path, *inputs: str) -> Workbench:
    """inputs: the features that all methods read together."""
    read = frozenset(inputs or ("pooled",))
    return Workbench(Place(store=cache, cache=cache, device="cpu", inputs=read))
