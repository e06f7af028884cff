"""--slurm KEY=VALUE: what is asked of Slurm for each job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fplbench.errors import UserError

MINUTES = 60
"""Of a job, where nothing is asked for. One that needs more is queued again."""
DELAY = 90
"""Seconds before the end of that time in which a job is queued again."""
OURS = {
    "array": "use --jobs",
    "array_parallelism": "use --jobs",
    "ntasks": "a job computes one cell at a time",
    "ntasks_per_node": "a job computes one cell at a time",
    "nodes": "a job computes one cell at a time",
    "output": "it goes to OUT/.slurm",
    "error": "it goes to OUT/.slurm",
    "signal": "use signal_delay_s=SECONDS",
}
GPUS = ("gpus", "gpus_per_node", "gpus_per_task", "gpus_per_socket")


@dataclass(frozen=True)
class Options:
    """given: option of sbatch -> its value, "" for a flag. setup: shell commands before a job."""

    given: dict[str, str]
    setup: tuple[str, ...] = ()

    def wants_gpu(self) -> bool:
        """Whether a GPU is asked for."""
        counts = (self.given.get(name, "0").rpartition(":")[2] for name in GPUS)
        return "gpu" in self.given.get("gres", "") or any(count != "0" for count in counts)

    def threads(self) -> int | None:
        """Cores that are asked for, None if none are."""
        cores = self.given.get("cpus_per_task")
        if cores is None or cores.isdecimal():
            return int(cores) if cores else None
        raise UserError(f"--slurm cpus_per_task={cores}: give a whole number.")

    def parameters(self, threads: int, at_once: int | None) -> dict[str, Any]:
        """What submitit's AutoExecutor takes."""
        others: dict[str, Any] = {key: value or True for key, value in self.given.items()}
        cores = others.setdefault("cpus_per_task", threads)
        others.setdefault("job_name", "fplbench")
        return {
            "timeout_min": _minutes(others.pop("time", str(MINUTES))),
            "slurm_signal_delay_s": int(others.pop("signal_delay_s", DELAY)),
            "slurm_array_parallelism": at_once,
            "slurm_setup": list(self.setup) or None,
            # Since Slurm 22.05 a step does not inherit the cores of its job.
            "slurm_srun_args": [f"--cpus-per-task={cores}"],
            "slurm_additional_parameters": others,
        }


def read(texts: Sequence[str]) -> Options:
    """The options that KEY=VALUE say; UserError for what cannot be."""
    given: dict[str, str] = {}
    setup = []
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().lstrip("-").replace("-", "_")
        if not key:
            raise UserError(f"--slurm {text}: write KEY=VALUE, with an option of sbatch as KEY.")
        if key in OURS:
            raise UserError(f"--slurm {text}: fplbench sets {key} by itself ({OURS[key]}).")
        if key == "setup":
            setup.append(value.strip())
        else:
            given[key] = value.strip() if equals else ""
    if "time" in given:
        _minutes(given["time"])
    if not given.get("signal_delay_s", "0").isdecimal():
        raise UserError("--slurm signal_delay_s: give whole seconds.")
    return Options(given, tuple(setup))


def _minutes(time: str) -> int:
    """Of sbatch's ways to write a time: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; a part counts whole."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if match is None:
        raise UserError(f"--slurm time={time}: write MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS.")
    days, *parts = match.groups()
    first, second, third = (int(part or 0) for part in parts)
    if days is not None:
        return int(days) * 1440 + first * 60 + second + (third > 0)
    if parts[2] is not None:
        return first * 60 + second + (third > 0)
    return first + (second > 0)
