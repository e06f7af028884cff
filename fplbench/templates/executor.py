"""Mine: where cells are computed, in one sentence."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fplbench.machine.place import Place
from fplbench.plugins.executor import Executor

if TYPE_CHECKING:
    from fplbench.features.stock import Workbench
    from fplbench.grid.jobs import Job, Watcher

PROGRAM = """
import pickle, sys
from fplbench.grid.jobs import Unwatched
from fplbench.grid.runner import Runner, kept_bench

place, cell = pickle.load(sys.stdin.buffer)
Runner(place, kept_bench(place), Unwatched()).run([cell])
"""


class Mine(Executor):
    """A fresh program for each cell, one after the other."""

    name = "mine"
    summary = "a program for each cell"

    def compute(
        self,
        place: Place,
        bench: Workbench,
        cells: Sequence[Job],
        devices: Sequence[str],
        jobs: int | None,
        watcher: Watcher,
    ) -> None:
        """Runners need nothing but a place and a cell; they write records by themselves."""
        for cell in cells:
            told = pickle.dumps((place.absolute(), cell))
            subprocess.run([sys.executable, "-c", PROGRAM], input=told, check=True)
            watcher.ended(cell)
