"""What is said about the cells of a run: before it, after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.filesize import decimal

from fplbench.grid.plan import Planned, duration, estimate
from fplbench.grid.work import Job
from fplbench.records.store import Store

WORDS = {
    "done": "done",
    "absent": "to do",
    "damaged": "damaged, to be done again",
    "failed": "failed before",
    "diverged": "diverged before",
}


def planned(jobs: Sequence[Job]) -> list[Planned]:
    """The cells as a plan keeps them."""
    return [
        Planned(
            id=job.id,
            label=job.cell.label(),
            method=job.cell.method,
            dataset=job.cell.dataset,
            scenario=job.cell.scenario,
            backbone=job.cell.backbone,
            rounds=job.cell.training.rounds,
        )
        for job in jobs
    ]


def dry_run(
    jobs: Sequence[Job],
    statuses: Mapping[str, str],
    store: Store,
    processes: int,
    retry: bool,
    out: Console,
) -> None:
    """A line for each cell, then what the run would take."""
    todo = {"absent", "damaged"} | ({"failed", "diverged"} if retry else set())
    for job in jobs:
        out.print(f"{WORDS[statuses[job.id]]:<25} {job.id}", markup=False, soft_wrap=True)
    cells = planned(jobs)
    left = [cell for cell in cells if statuses[cell.id] in todo]
    skipped = len(jobs) - len(left)
    out.print(f"{len(jobs)} cells: {len(left)} to run, {skipped} are left as they are.")
    if not left:
        return
    found = estimate(left, store)
    known = len(left) - found.unknown
    if not known:
        out.print("No cell like these has been run in this folder, so there is no estimate.")
        return
    each = f", about {duration(found.seconds / processes)} with {processes} processes"
    out.print(
        f"By cells already run, {known} of them take {duration(found.seconds)} of computing"
        f"{each if processes > 1 else ''}, and {decimal(round(found.bytes))} on disk."
    )
    if found.unknown:
        out.print(f"Of {found.unknown} nothing is known: no cell like them has been run here.")


def ended(
    jobs: Sequence[Job],
    before: Mapping[str, str],
    after: Mapping[str, str],
    store: Store,
    out: Console,
    err: Console,
) -> None:
    """The last screen: what is done, and what is not and why."""
    fresh = sum(after[job.id] == "done" != before[job.id] for job in jobs)
    skipped = sum(after[job.id] == before[job.id] == "done" for job in jobs)
    if skipped == len(jobs):
        out.print(f"Nothing to do: all {skipped} cells are in {store.root} already.", markup=False)
    else:
        were = f", {skipped} were done before" if skipped else ""
        out.print(
            f"{fresh} {'cell' if fresh == 1 else 'cells'} done{were}; records are in {store.root}.",
            markup=False,
        )
    unfinished = [job for job in jobs if after[job.id] != "done"]
    for job in unfinished:
        record = store.find(job.id)
        if record is not None:
            message = record.error.message if record.error else ""
            err.print(
                f"{record.status}: {job.cell.label()}: {message} "
                f"(fplbench show {store.root / job.id})",
                style="red",
                markup=False,
                soft_wrap=True,
            )
    if unfinished:
        again = f"{len(unfinished)} of {len(jobs)} cells are not done; --retry-failed tries again."
        err.print(again, style="red", markup=False)
