"""This machine: the process that asks, or several that share its cores and GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fplbench.machine.place import Place
from fplbench.plugins.executor import Executor

if TYPE_CHECKING:
    from fplbench.features.stock import Workbench
    from fplbench.grid.jobs import Job, Watcher


class Local(Executor):
    """One process for each job, each on the next of the devices with its part of the cores."""

    name = "local"
    summary = "this machine (the default)"

    def alone(self, devices: Sequence[str], jobs: int | None) -> bool:
        return self.processes(devices, jobs) == 1

    def compute(
        self,
        place: Place,
        bench: Workbench,
        cells: Sequence[Job],
        devices: Sequence[str],
        jobs: int | None,
        watcher: Watcher,
    ) -> None:
        from fplbench.grid.processes import in_processes, shared_out
        from fplbench.grid.runner import Runner
        from fplbench.grid.stop import Stop
        from fplbench.machine import process

        if self.alone(devices, jobs):
            process.use_threads(place.threads)
            stop = Stop()
            with stop.listening():
                Runner(place, bench, watcher, stop).run(cells)
            return
        count = self.processes(devices, jobs)
        places = shared_out(place, devices, count, process.threads())
        in_processes(places, bench, cells, watcher)
