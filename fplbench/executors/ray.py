"""Ray: a task for each cell, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from fplbench.machine.place import Place
from fplbench.plugins.base import Settings
from fplbench.plugins.executor import Executor

if TYPE_CHECKING:
    from fplbench.features.stock import Workbench
    from fplbench.grid.jobs import Job, Watcher


class Ray(Executor):
    """Joins the cluster that RAY_ADDRESS or `ray start` name; else starts Ray on this machine."""

    name = "ray"
    summary = "tasks of Ray, on this machine or its cluster (the extra ray)"

    class Config(Settings):
        gpus_per_cell: float | None = Field(
            None,
            ge=0,
            description="The part of a GPU that a cell takes; by default a whole one where this "
            "machine has one.",
        )

    config: Config

    def require(self) -> None:
        from fplbench.grid.on_ray import require_ray

        require_ray()

    def devices(self, asked: str) -> list[str]:
        here = super().devices(asked)
        return ["cuda:0"] if self.config.gpus_per_cell else here

    def compute(
        self,
        place: Place,
        bench: Workbench,
        cells: Sequence[Job],
        devices: Sequence[str],
        jobs: int | None,
        watcher: Watcher,
    ) -> None:
        from fplbench.grid.on_ray import on_ray

        asked = self.config.gpus_per_cell
        part = float(devices[0].startswith("cuda")) if asked is None else asked
        # Ray shows a task its own GPU alone, by the number 0.
        device = "cuda:0" if part else "cpu"
        there = replace(place.absolute(), device=device, threads=place.threads or 1)
        on_ray(there, bench, cells, watcher, jobs, part)
