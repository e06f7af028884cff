"""The executor Ray: a task for each cell, on this machine or on the cluster it belongs to."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from fplbench.errors import UserError
from fplbench.grid.cell import killed
from fplbench.grid.claims import Claims
from fplbench.grid.processes import ATTEMPTS
from fplbench.grid.stop import Stop
from fplbench.grid.work import POLL, Job, Runner, Setup, Tools, Watcher, keep, settled
from fplbench.records.store import Store

GRACE = 10.0
"""Seconds that tasks have to leave."""


def on_ray(
    setup: Setup,
    tools: Tools,
    jobs: Sequence[Job],
    watcher: Watcher,
    at_once: int | None,
    gpus_per_cell: float,
) -> None:
    """Compute the cells as tasks of Ray, each with setup.threads cores and a part of a GPU.

    Joins the cluster that RAY_ADDRESS or `ray start` on this machine name; else starts Ray here.
    at_once: the most tasks at a time; None for as many as Ray finds room for.
    """
    ray = require_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    stop = Stop()
    driver = _Driver(ray, setup, tools, watcher, at_once, gpus_per_cell)
    try:
        # Patient, for an exception that comes out of ray.wait leaves Ray as a SystemError.
        with stop.listening(), stop.patient():
            driver.run(jobs, stop)
    finally:
        driver.end()
        if ours:
            ray.shutdown()


def require_ray() -> Any:
    """The module; UserError where the extra is not installed."""
    # Else Ray hides the GPUs from tasks that ask for none, and says so at length.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
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


class _Driver:
    def __init__(
        self,
        ray: Any,
        setup: Setup,
        tools: Tools,
        watcher: Watcher,
        at_once: int | None,
        gpus_per_cell: float,
    ) -> None:
        self._ray = ray
        self._setup = setup
        self._tools = tools
        self._watcher = watcher
        self._store = Store(setup.store)
        self._claims = Claims(setup.store)
        self._running: dict[Any, Job] = {}
        self._deaths: dict[str, int] = {}
        self._at_once = at_once
        # A task that dies is not repeated by Ray, which would not count how often.
        self._task = ray.remote(num_cpus=setup.threads or 1, num_gpus=gpus_per_cell, max_retries=0)(
            _cell
        )

    def run(self, jobs: Sequence[Job], stop: Stop) -> None:
        """Give out the cells; those of other runners are looked at again and again."""
        waiting = list(jobs)
        while waiting or self._running:
            stop.leave_if_asked()
            elsewhere = []
            for job in waiting:
                if settled(self._store, self._setup, job.id):
                    self._watcher.ended(0, job)
                elif not self._give_out(job):
                    elsewhere.append(job)
            waiting = elsewhere
            if self._running:
                ready, _ = self._ray.wait(list(self._running), timeout=POLL)
                again = [self._returned(ref) for ref in ready]
                waiting += [job for job in again if job is not None]
            elif waiting:
                time.sleep(POLL)

    def end(self) -> None:
        """Stop what still runs: its last checkpoint stays."""
        for ref in self._running:
            self._ray.cancel(ref, force=False)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE)

    def _give_out(self, job: Job) -> bool:
        if self._at_once is not None and len(self._running) >= self._at_once:
            return False
        owner = self._claims.owner(job.id)
        dead = owner is not None and self._claims.is_dead(job.id, owner)
        if owner is not None and not dead:
            return False
        nonces = frozenset([owner.nonce]) if owner is not None else frozenset[str]()
        self._running[self._task.remote(self._setup, job, nonces)] = job
        return True

    def _returned(self, ref: Any) -> Job | None:
        """The job if it has to be tried again."""
        job = self._running.pop(ref)
        errors = self._ray.exceptions
        try:
            ended = self._ray.get(ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from error
            raise
        except errors.RayError as error:  # the process or its machine is gone
            self._deaths[job.id] = self._deaths.get(job.id, 0) + 1
            if self._deaths[job.id] < ATTEMPTS:
                return job
            message = f"its process ended {ATTEMPTS} times, as Ray says: {error}"
            outcome = killed(job.cell, self._tools.bench, self._tools.method(job.cell), message)
            keep(self._store, outcome)
            ended = True
        if not ended:
            return job
        self._watcher.ended(0, job)
        return None


class _Quiet:
    """A watcher that shows nothing: Ray's tasks tell by their records."""

    def began(self, worker: int, job: Job) -> None: ...

    def encoded(self, worker: int, done: int, images: int) -> None: ...

    def round(self, worker: int, done: int, rounds: int, row: dict[str, float]) -> None: ...

    def ended(self, worker: int, job: Job) -> None: ...


_tools: dict[str, Tools] = {}


def _cell(setup: Setup, job: Job, dead: frozenset[str]) -> bool:
    """The task. A process of Ray's keeps backbone and features for its next one."""
    key = repr(setup)
    if key not in _tools:
        _tools[key] = setup.tools()
    runner = Runner(setup, _tools[key], _Quiet())
    runner.claims.dead = dead
    return runner.attempt(job)
