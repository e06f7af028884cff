"""Finished cells again from moved starts: which are meant, and what is missing of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fplbench.features.stock import Workbench
from fplbench.grid.again import job_of
from fplbench.grid.jobs import Job
from fplbench.grid.run import read_together
from fplbench.grid.stale import together
from fplbench.machine import process
from fplbench.records.starts import Asked, Found
from fplbench.spec import Cell

Work = dict[tuple[Path, int], list[Job]]
"""Cells to compute by their store and the number of threads."""


def moved_starts(chosen: Found, asked: Asked, bench: Workbench) -> tuple[Work, list[str]]:
    """The moved starts of these cells, and a sentence for each reason why cells have none: they
    could not be made again."""
    work: Work = {}
    changed: list[tuple[str, str]] = []
    for folder, record in chosen:
        job, why = job_of(record, bench)
        if job is None or why:
            changed.append((f"{record.method} on {record.dataset}, seed {record.seed}", why))
            continue
        own = int(str(record.hardware.get("threads") or process.threads()))
        other = asked.threads or (own // 2 if own > 1 else 2)
        identity = bench.identity(job.cell, bench.methods.get(job.cell.method))
        for moved in _moved(job.cell, asked.starts):
            threads = other if moved.training.nudge == asked.starts else own
            work.setdefault((folder.parent, threads), []).append(Job(moved, moved.id(identity)))
    refused = []
    for label, more, why in together(changed):
        some = f", and {more} more" if more else ""
        refused.append(
            f"{label}{some}: not repeated, since the record was made before {why}; run it again."
        )
    read_together([job.cell for jobs in work.values() for job in jobs], bench)
    return work, refused


def _moved(cell: Cell, starts: int) -> Iterator[Cell]:
    for number in range(1, starts + 1):
        training = cell.training.model_copy(update={"nudge": number})
        yield cell.model_copy(update={"training": training})
