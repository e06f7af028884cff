"""Jobs of the cluster's scheduler, each for a cell or a pack of cells.

OUT/.slurm holds what submitit writes: the batch script, the pack of each job, its output. A job
needs nothing of the process that submitted it. Records, claims and checkpoints are in the store,
as everywhere.
"""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.claims import Claims
from fplbench.grid.follow import Follower
from fplbench.grid.give_out import Back, give_out
from fplbench.grid.jobs import Job, Watcher
from fplbench.grid.pack import Pack, ended_early
from fplbench.grid.slurm_options import Options
from fplbench.grid.stop import Stop
from fplbench.machine.place import Place
from fplbench.records.store import Store

FOLDER = ".slurm"
LOOK = 15.0
"""Seconds between two looks at the scheduler's queue; the store is looked at more often."""
MISSED = 2
"""Looks that do not find a job before it is gone: its result may come late over a network."""
LARGEST_ARRAY = 1000
"""Jobs of an array, where an administrator has not set another number (MaxArraySize)."""


def on_slurm(
    place: Place,
    bench: Workbench,
    jobs: Sequence[Job],
    watcher: Watcher,
    options: Options,
    at_once: int | None,
    cells_per_task: int,
    cluster: str = "slurm",
) -> None:
    """Submit the cells and wait for them; jobs of an earlier call that still queue are joined.

    at_once: the most jobs of an array that run at a time. cluster: submitit's name for where
    they go; "local" are processes of this machine.
    """
    submitit = require_submitit()
    packs = -(-len(jobs) // cells_per_task)
    if packs > LARGEST_ARRAY:
        raise UserError(
            f"{packs} Slurm jobs are more than an array takes ({LARGEST_ARRAY}): add "
            f"--cells-per-task {-(-len(jobs) // LARGEST_ARRAY)} or more."
        )
    claims, stop = Claims(place.store), Stop()
    # Submitit would ask Slurm to repeat a job thrice; a Pack knows better whether it is worth it.
    executor = submitit.AutoExecutor(
        place.store / FOLDER, cluster=cluster, slurm_max_num_timeout=10**6
    )
    executor.update_parameters(**options.parameters(place.threads or 1, at_once))
    queue = _Slurm(executor, place, claims, watcher, cells_per_task)
    with stop.listening():
        left = queue.join(jobs) if cluster == "slurm" else jobs
        give_out(queue, bench, left, watcher, claims, stop)


def require_submitit() -> Any:
    """The module; UserError where the extra is not installed."""
    try:
        import submitit
    except ImportError as error:
        need = "--executor slurm needs the extra: pip install 'fplbench[slurm]'."
        raise UserError(need) from error
    return submitit


def require_slurm() -> None:
    """UserError where jobs cannot be submitted."""
    require_submitit()
    absent = [name for name in ("sbatch", "srun", "squeue") if shutil.which(name) is None]
    if absent:
        raise UserError(
            f"--executor slurm: there is no {absent[0]} here; run it on a machine that submits "
            "jobs, mostly the cluster's login node."
        )


@dataclass
class _Task:
    """A job of Slurm's. open: its cells that are not settled yet, by id. cells: how many it had."""

    slurm: Any
    open: dict[str, Job]
    cells: int
    missed: int = 0

    @property
    def id(self) -> str:
        return str(self.slurm.job_id)


class _Slurm:
    retries_itself = False

    def __init__(
        self, executor: Any, place: Place, claims: Claims, watcher: Watcher, cells_per_task: int
    ) -> None:
        self._executor = executor
        self._place = place
        self._store = Store(place.store)
        self._claims = claims
        self._cells_per_task = cells_per_task
        self._follower = Follower(place.store, watcher)
        self._tasks: list[_Task] = []
        self._looked = time.monotonic()

    def join(self, jobs: Sequence[Job]) -> list[Job]:
        """Take over what an earlier call has submitted and still queues; the other cells."""
        from submitit import SlurmJob
        from submitit.core.utils import DelayedSubmission

        left, queued = {job.id: job for job in jobs}, _queued() or set()
        for path in sorted((self._place.store / FOLDER).glob("*_submitted.pkl")):
            id = path.name.removesuffix("_submitted.pkl")
            if id not in queued:
                continue
            try:
                pack = DelayedSubmission.load(path).function
            except Exception:  # of another version of the code: its cells are protected by claims
                continue
            if not isinstance(pack, Pack):
                continue
            mine = [job.id for job in pack.jobs if job.id in left]
            if mine:
                cells = {cell_id: left.pop(cell_id) for cell_id in mine}
                self._tasks.append(_Task(SlurmJob(path.parent, id), cells, len(cells)))
        return list(left.values())

    def room(self) -> int:
        return self._cells_per_task * LARGEST_ARRAY

    def out(self) -> int:
        return sum(len(task.open) for task in self._tasks)

    def give(self, jobs: Sequence[Job], dead: frozenset[str]) -> None:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        size = self._cells_per_task
        parts = [tuple(jobs[first : first + size]) for first in range(0, len(jobs), size)]
        packs = [Pack(self._place, part, dead) for part in parts]
        try:
            submitted = self._executor.submit_array(packs)
        except (FailedJobError, FailedSubmissionError) as error:
            raise UserError(f"Slurm refuses the job: {_last_line(str(error))}") from error
        for part, slurm in zip(parts, submitted, strict=True):
            self._tasks.append(_Task(slurm, {job.id: job for job in part}, len(part)))

    def back(self, seconds: float) -> list[Back]:
        time.sleep(seconds)
        self._follower.look(job for task in self._tasks for job in task.open.values())
        self._look()
        found = []
        for task in list(self._tasks):
            ended = task.slurm.paths.result_pickle.exists()
            for id, job in list(task.open.items()):
                if job.settled(self._store):
                    del task.open[id]
                    found.append(Back(job))
            if ended:
                found += self._ended(task)
            elif task.missed >= MISSED:
                found += self._gone(task, f"in state {_state(task.id)}")
            if ended or task.missed >= MISSED:
                self._tasks.remove(task)
        # A job's last cell is settled a moment before the job's end, for which nobody waits.
        self._tasks = [task for task in self._tasks if task.open]
        return found

    def end(self) -> None:
        if self._tasks and self._executor.cluster == "slurm":
            ids = [task.id for task in self._tasks]
            subprocess.run(["scancel", *ids], capture_output=True, check=False)
        elif self._tasks:
            for task in self._tasks:
                task.slurm.cancel(check=False)

    def _look(self) -> None:
        """Which jobs the scheduler does not know any more."""
        if self._executor.cluster != "slurm":
            for task in self._tasks:
                task.missed = MISSED if task.slurm.done() else 0
            return
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked, queued = time.monotonic(), _queued()
        if queued is not None:
            for task in self._tasks:
                task.missed = 0 if task.id in queued else task.missed + 1

    def _ended(self, task: _Task) -> list[Back]:
        """The cells that a job leaves which came to an end: other runners had them."""
        trouble = task.slurm.exception()
        if trouble is not None:
            return self._gone(task, f"with {_last_line(str(trouble))}")
        refused = task.slurm.result()
        if refused is not None:
            raise UserError(refused)
        return [Back(job) for job in task.open.values()]

    def _gone(self, task: _Task, how: str) -> list[Back]:
        """The cells that a job leaves which did not; the one that it was at is lost."""
        owners = {id: self._claims.owner(id) for id in task.open}
        at = {id: owner.nonce for id, owner in owners.items() if owner and owner.job == task.id}
        self._claims.dead |= set(at.values())
        lost = f"as Slurm's job {task.id}, {how}; see {task.slurm.paths.stderr}"
        if not at and len(task.open) == task.cells and not ended_early(task.slurm.paths):
            at = {next(iter(task.open)): ""}  # it came to nothing at all
        return [Back(job, lost if id in at else "") for id, job in task.open.items()]


def _queued() -> set[str] | None:
    """The ids of this user's jobs that wait or run; None if the scheduler does not answer."""
    command = ["squeue", "--array", "--noheader", "--format=%i", f"--user={getpass.getuser()}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return set(asked.stdout.split()) if asked.returncode == 0 else None


def _state(id: str) -> str:
    """How Slurm says that a job ended, if it has not forgotten it."""
    command = ["scontrol", "--oneliner", "show", "job", id]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(r"JobState=(\S+)", asked.stdout)
    return match[1] if match else "unknown"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" -")]
    return lines[-1] if lines else "no reason given"
