"""Tasks of Ray, one for each cell, on this machine or on the cluster it belongs to."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.claims import Claims
from fplbench.grid.follow import Follower
from fplbench.grid.give_out import ATTEMPTS, Back, give_out
from fplbench.grid.jobs import Job, Unwatched, Watcher
from fplbench.grid.runner import Runner, kept_bench
from fplbench.grid.stop import Stop
from fplbench.machine.place import Place

GRACE = 10.0
"""Seconds that tasks have to leave."""


def on_ray(
    place: Place,
    bench: Workbench,
    jobs: Sequence[Job],
    watcher: Watcher,
    at_once: int | None,
    gpus_per_cell: float,
) -> None:
    """Compute the cells as tasks of Ray, each with place.threads cores and a part of a GPU.

    Joins the cluster that RAY_ADDRESS or `ray start` on this machine name; else starts Ray here.
    at_once: the most tasks at a time; None for as many as Ray finds room for.
    """
    ray = require_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    stop, claims = Stop(), Claims(place.store)
    try:
        # Patient, for an exception that comes out of ray.wait leaves Ray as a SystemError.
        with stop.listening(), stop.patient():
            tasks = _Ray(ray, place, watcher, at_once, gpus_per_cell)
            give_out(tasks, bench, jobs, watcher, claims, stop)
    finally:
        if ours:
            ray.shutdown()


def require_ray() -> Any:
    """The module; UserError where the extra is not installed."""
    # Else Ray hides the GPUs from tasks that ask for none, and says so at length.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Else Ray repeats for ever what its memory monitor kills, however many retries a task has.
    os.environ.setdefault("RAY_task_oom_retries", str(ATTEMPTS - 1))
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray needs the extra: pip install 'fplbench[ray]'.") from error
    return ray


def _connect(ray: Any) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), **quiet)
    except ConnectionError as error:
        if "RAY_ADDRESS" in os.environ:
            raise UserError(
                f"there is no Ray at RAY_ADDRESS={os.environ['RAY_ADDRESS']}: start it with "
                "`ray start --head`, or unset RAY_ADDRESS to start one here"
            ) from error
        ray.init(include_dashboard=False, **quiet)


class _Ray:
    """Tasks of Ray's, which repeats by itself those whose process or machine is lost."""

    retries_itself = True

    def __init__(
        self, ray: Any, place: Place, watcher: Watcher, at_once: int | None, gpus_per_cell: float
    ) -> None:
        self._ray = ray
        self._place = place
        self._running: dict[Any, Job] = {}
        self._at_once = at_once or sys.maxsize
        self._follower = Follower(place.store, watcher)
        part = {"num_cpus": place.threads or 1, "num_gpus": gpus_per_cell}
        self._task = ray.remote(**part, max_retries=ATTEMPTS - 1)(_cell)

    def room(self) -> int:
        return self._at_once - len(self._running)

    def out(self) -> int:
        return len(self._running)

    def give(self, jobs: Sequence[Job], dead: frozenset[str]) -> None:
        for job in jobs:
            self._running[self._task.remote(self._place, job, dead)] = job

    def back(self, seconds: float) -> list[Back]:
        ready, _ = self._ray.wait(list(self._running), timeout=seconds)
        self._follower.look(self._running.values())
        return [self._returned(ref) for ref in ready]

    def end(self) -> None:
        for ref in self._running:
            self._ray.cancel(ref, force=False)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE)

    def _returned(self, ref: Any) -> Back:
        job = self._running.pop(ref)
        errors = self._ray.exceptions
        try:
            self._ray.get(ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from error
            raise
        except errors.RayError as error:  # the process or its machine is gone
            return Back(job, f"as Ray says: {error}")
        return Back(job)


def _cell(place: Place, job: Job, dead: frozenset[str]) -> None:
    """The task. A process of Ray's keeps backbone and features for its next one."""
    runner = Runner(place, kept_bench(place), Unwatched())
    runner.claims.dead = dead
    runner.run([job], once=True)
