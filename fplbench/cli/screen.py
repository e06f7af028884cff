"""What is on the screen while cells run; nothing in a pipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

from fplbench.grid.jobs import Job

MOST = 4  # metrics beside a bar


class Screen:
    """A bar for the cells of the run and one for the rounds of each running cell; shown on a
    terminal only.

    The first bar counts in cells, with the rounds of the running ones as fractions, so that the
    time left is known before the first cell is done.

    headlines: scenario -> the metrics that stand beside the bar of its cells.
    """

    def __init__(
        self, cells: int, console: Console, headlines: Mapping[str, Sequence[str]]
    ) -> None:
        self._headlines = headlines
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
        self._begun: dict[str, float] = {}
        self._rows: dict[str, TaskID] = {}
        self._free: list[TaskID] = []
        self._numbers: dict[str, dict[str, float]] = {}
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

    def began(self, job: Job) -> None:
        """A runner has taken the cell: it gets a row, one that another cell has left if it can."""
        if job.id not in self._rows:
            row = (
                self._free.pop() if self._free else self._bars.add_task("", total=None, numbers="")
            )
            self._rows[job.id] = row
        self._numbers[job.id], self._begun[job.id] = {}, 0.0
        label = f"rounds: {job.cell.label()}"
        self._bars.reset(self._rows[job.id], description=label, total=None, numbers="")

    def encoded(self, job: Job, done: int, images: int) -> None:
        """The image tower has done this many images of a split that the cell needs."""
        if job.id in self._rows:
            row = self._rows[job.id]
            self._bars.update(row, completed=done, total=images, numbers="images encoded first")

    def round(self, job: Job, done: int, rounds: int, row: dict[str, float]) -> None:
        """The cell has done this many rounds."""
        if job.id not in self._rows:
            return
        # An accuracy is measured in some rounds only; the last one stays.
        known = self._numbers[job.id]
        shown = ("loss", *self._headlines[job.cell.scenario][:MOST])
        known |= {name: row[name] for name in shown if name in row and not math.isnan(row[name])}
        numbers = "  ".join(
            f"{name} {value:.3f}" if name == "loss" else f"{name} {value:.1f}%"
            for name, value in known.items()
        )
        self._bars.update(self._rows[job.id], completed=done, total=rounds, numbers=numbers)
        self._begun[job.id] = done / rounds
        self._count()

    def ended(self, job: Job) -> None:
        """The cell is done, or will not be, by whomever."""
        self._ended += 1
        if job.id in self._rows:
            self._free.append(self._rows.pop(job.id))
            del self._begun[job.id], self._numbers[job.id]
        self._count()

    def _count(self) -> None:
        self._bars.update(self._all, completed=self._ended + sum(self._begun.values()))
