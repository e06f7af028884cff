"""Slurm: jobs of a cluster's scheduler, each for a cell or a pack of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from fplbench.errors import UserError
from fplbench.grid import slurm_options
from fplbench.machine.place import Place
from fplbench.plugins.base import Settings
from fplbench.plugins.executor import Executor

if TYPE_CHECKING:
    from fplbench.features.stock import Workbench
    from fplbench.grid.jobs import Job, Watcher


class Slurm(Executor):
    """Jobs that are killed or run out of time go on at their cells' checkpoints."""

    name = "slurm"
    summary = "jobs of Slurm, from a machine that submits them (the extra slurm)"

    class Config(Settings):
        slurm: tuple[str, ...] = Field(
            (),
            description="An option of sbatch as KEY=VALUE, e.g. partition=gpu, time=4:00:00, "
            "gres=gpu:1; or setup=COMMAND, run before a job; repeatable.",
        )
        cells_per_task: int = Field(1, ge=1, description="Cells of a job.")

    config: Config

    def require(self) -> None:
        from fplbench.grid.on_slurm import require_slurm

        slurm_options.read(self.config.slurm)
        require_slurm()

    def devices(self, asked: str) -> list[str]:
        """A job of Slurm's is given its own GPU alone, by the number 0."""
        wants = slurm_options.read(self.config.slurm).wants_gpu()
        device = ("cuda:0" if wants else "cpu") if asked == "auto" else asked
        if device not in ("cpu", "cuda:0"):
            raise UserError(f"--device {device}: with --executor slurm it is cpu or cuda:0.")
        return [device]

    def compute(
        self,
        place: Place,
        bench: Workbench,
        cells: Sequence[Job],
        devices: Sequence[str],
        jobs: int | None,
        watcher: Watcher,
    ) -> None:
        from fplbench.grid.on_slurm import on_slurm

        options = slurm_options.read(self.config.slurm)
        threads = place.threads or options.threads() or 1
        there = replace(place.absolute(), threads=threads)
        on_slurm(there, bench, cells, watcher, options, jobs, self.config.cells_per_task)
