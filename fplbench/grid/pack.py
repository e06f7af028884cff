"""What a job of Slurm's does: its cells, one after the other, on whatever machine it is."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fplbench.errors import UserError
from fplbench.grid.jobs import Job, Unwatched
from fplbench.grid.runner import Runner, kept_bench
from fplbench.grid.stop import EXIT, Stop, Stopped
from fplbench.machine.place import Place

IDLE = 3
"""Lives of a job without a round done before it is not repeated any more."""


@dataclass
class Pack:
    """Called by submitit with the cells to compute; dead: runners whose claims are void.

    Slurm sends SIGUSR2 (as submitit asks it to) before the time of a job is over. Submitit then
    calls `checkpoint`, and has Slurm queue the job again, which goes on at the cells' last
    checkpoints. On SIGTERM, with which Slurm cancels and preempts, the running cell ends its
    round and is saved; whether the job is queued again is then Slurm's business.
    """

    place: Place
    jobs: tuple[Job, ...]
    dead: frozenset[str] = frozenset()
    idle: int = 0
    moved: bool = field(default=False, init=False)

    def __call__(self) -> str | None:
        """What is wrong with the request, if anything is."""
        from submitit import JobEnvironment

        env = JobEnvironment()
        self.moved = False
        mark = _mark(env.paths)
        mark.unlink(missing_ok=True)
        stop = Stop()
        try:
            with stop.listening():
                runner = Runner(self.place, kept_bench(self.place), _Moves(self), stop)
                runner.claims.dead, runner.claims.job = self.dead, env.job_id
                runner.run(self.jobs, once=True)
        except UserError as error:
            return str(error)
        except Stopped:
            if self.moved:
                mark.touch()
            sys.exit(EXIT)
        return None

    def checkpoint(self) -> Any:
        """The job's next life. UserError, which ends this one, if there is no use in another."""
        from submitit.helpers import DelayedSubmission

        self.idle = 0 if self.moved else self.idle + 1
        if self.idle >= IDLE:
            raise UserError(
                f"Slurm has ended a job {IDLE} times before a round was done: give it more time "
                "with --slurm time=HOURS:MINUTES:SECONDS."
            )
        return DelayedSubmission(self)


class _Moves(Unwatched):
    """Notes that a round was done."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack

    def round(self, job: Job, done: int, rounds: int, row: dict[str, float]) -> None:
        self._pack.moved = True


def ended_early(paths: Any) -> bool:
    """Whether a job ended since it was told to, after some rounds; paths: submitit's."""
    return _mark(paths).exists()


def _mark(paths: Any) -> Path:
    pickle: Path = paths.submitted_pickle
    return pickle.with_name(pickle.name.replace("_submitted.pkl", "_stopped"))
