"""What is on the screen while cells run; nothing in a pipe."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fplbench.grid.work import Job

SHOWN = ("loss", "local", "novel", "domains", "global")


class Screen:
    """A bar for the cells of the run and one for the rounds of each running cell; shown on a
    terminal only.

    The first bar counts in cells, with the rounds of the running ones as fractions, so that the
    time left is known before the first cell is done.
    """

    def __init__(self, cells: int, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._ended = 0
        self._begun: dict[int, float] = {}
        self._rows: dict[int, TaskID] = {}
        self._numbers: dict[int, dict[str, float]] = {}
        self._all = self._bars.add_task("cells", total=cells, numbers="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._bars.stop()

    def began(self, worker: int, job: Job) -> None:
        """A worker has taken a cell."""
        if worker not in self._rows:
            self._rows[worker] = self._bars.add_task("", total=None, numbers="")
        self._numbers[worker], self._begun[worker] = {}, 0.0
        label = f"rounds: {job.cell.label()}"
        self._bars.reset(self._rows[worker], description=label, total=None, numbers="")

    def encoded(self, worker: int, done: int, images: int) -> None:
        """The image tower has done this many images of a split that the worker's cell needs."""
        row = self._rows[worker]
        self._bars.update(row, completed=done, total=images, numbers="images encoded first")

    def round(self, worker: int, done: int, rounds: int, row: dict[str, float]) -> None:
        """The worker's cell has done this many rounds."""
        # An accuracy is measured in some rounds only; the last one stays.
        known = self._numbers.setdefault(worker, {})
        known |= {name: row[name] for name in SHOWN if name in row and not math.isnan(row[name])}
        numbers = "  ".join(
            f"{name} {value:.3f}" if name == "loss" else f"{name} {value:.1f}%"
            for name, value in known.items()
        )
        self._bars.update(self._rows[worker], completed=done, total=rounds, numbers=numbers)
        self._begun[worker] = done / rounds
        self._count()

    def ended(self, worker: int, job: Job) -> None:
        """The cell is done, or will not be, by whomever."""
        self._ended += 1
        self._begun.pop(worker, None)
        self._count()

    def _count(self) -> None:
        self._bars.update(self._all, completed=self._ended + sum(self._begun.values()))
